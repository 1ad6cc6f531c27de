#include "sentry/boot/json_reader.h"

namespace boot {

namespace {
// Keeps the place of the first syntax error; nlohmann's own message is longer than a line.
class ErrorSax : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    position_ = position;
    return false;
  }
  size_t position() const { return position_; }

 private:
  size_t position_ = 0;
};
}  // namespace

StatusOr<Json> ParseJson(std::string_view text) {
  Json document = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_discarded()) return document;
  ErrorSax sax;
  Json::sax_parse(text, &sax);
  return Error("not valid JSON (at byte ", sax.position(), ")");
}

JsonReader::JsonReader(const Json& object, std::string path, Status& status)
    : object_(object), path_(std::move(path)), status_(status) {
  if (!object.is_object()) Fail("", "expected an object");
}

void JsonReader::Fail(std::string_view key, std::string_view what) const {
  if (!status_.ok()) return;
  std::string where = StrCat(path_, path_.empty() || key.empty() ? "" : ".", key);
  status_ = Error(where, where.empty() ? "" : ": ", what);
}

const Json* JsonReader::Find(const char* key) const {
  if (!object_.is_object()) return nullptr;
  auto it = object_.find(key);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

const Json* JsonReader::FindArray(const char* key) const {
  const Json* value = Find(key);
  if (value != nullptr && !value->is_array()) {
    Fail(key, "expected an array");
    return nullptr;
  }
  return value;
}

void JsonReader::String(const char* key, std::string& out) const {
  const Json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_string()) return Fail(key, "expected a string");
  out = *value->get_ptr<const std::string*>();
  // Every string of a specification ends as a C string somewhere: one that would be cut there is
  // refused.
  if (out.find('\0') != std::string::npos) Fail(key, "the string holds a zero byte");
}

void JsonReader::Bool(const char* key, bool& out) const {
  const Json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_boolean()) return Fail(key, "expected true or false");
  out = value->get<bool>();
}

void JsonReader::Strings(const char* key, std::vector<std::string>& out) const {
  const Json* array = FindArray(key);
  if (array == nullptr) return;
  for (const Json& item : *array) {
    if (!item.is_string()) return Fail(key, "expected an array of strings");
    out.push_back(*item.get_ptr<const std::string*>());
    if (out.back().find('\0') != std::string::npos) return Fail(key, "a string holds a zero byte");
  }
}

void JsonReader::StringMap(const char* key, std::map<std::string, std::string>& out) const {
  const Json* object = Find(key);
  if (object == nullptr) return;
  if (!object->is_object()) return Fail(key, "expected an object");
  for (const auto& [name, value] : object->items()) {
    if (!value.is_string()) return Fail(key, "expected an object of strings");
    out[name] = *value.get_ptr<const std::string*>();
  }
}

void JsonReader::Object(const char* key, absl::FunctionRef<void(const JsonReader&)> read) const {
  const Json* value = Find(key);
  if (value != nullptr)
    read(JsonReader(*value, StrCat(path_, path_.empty() ? "" : ".", key), status_));
}

void JsonReader::Objects(const char* key, absl::FunctionRef<void(const JsonReader&)> read) const {
  const Json* array = FindArray(key);
  if (array == nullptr) return;
  for (size_t i = 0; i < array->size(); i++) {
    read(JsonReader((*array)[i], StrCat(path_, path_.empty() ? "" : ".", key, "[", i, "]"),
                    status_));
  }
}

}  // namespace boot
