#include "runsc-cli/flags.h"

#include <charconv>

namespace cli {

FlagParser& FlagParser::Add(std::string_view names, bool takes_value, std::string_view help,
                            std::function<bool(const std::string&)> set) {
  size_t comma = names.find(',');
  Flag flag;
  flag.name = names.substr(0, comma);
  if (comma != names.npos) flag.short_name = names.substr(comma + 1);
  flag.help = help;
  flag.takes_value = takes_value;
  flag.set = std::move(set);
  flags_.push_back(std::move(flag));
  return *this;
}

FlagParser& FlagParser::Bool(std::string_view names, bool* value, std::string_view help) {
  return Add(names, false, help, [value](const std::string& text) {
    *value = text == "true" || text == "1";
    return *value || text == "false" || text == "0";
  });
}

FlagParser& FlagParser::String(std::string_view names, std::string* value, std::string_view help) {
  return Add(names, true, help, [value](const std::string& text) {
    *value = text;
    return true;
  });
}

FlagParser& FlagParser::Strings(std::string_view names, Args* value, std::string_view help) {
  return Add(names, true, help, [value](const std::string& text) {
    value->push_back(text);
    return true;
  });
}

FlagParser& FlagParser::Int(std::string_view names, int* value, std::string_view help) {
  return Add(names, true, help, [value](const std::string& text) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
    return error == std::errc() && end == text.data() + text.size();
  });
}

const FlagParser::Flag* FlagParser::Find(std::string_view name) const {
  for (const Flag& flag : flags_) {
    if (flag.name == name || (!flag.short_name.empty() && flag.short_name == name)) return &flag;
  }
  return nullptr;
}

StatusOr<Args> FlagParser::Parse(const Args& args) {
  Args rest;
  for (size_t i = 0; i < args.size(); i++) {
    std::string_view arg = args[i];
    if (arg == "--") {
      rest.insert(rest.end(), args.begin() + static_cast<ptrdiff_t>(i) + 1, args.end());
      break;
    }
    if (arg.size() < 2 || arg[0] != '-') {
      if (order_ == Order::kFlagsFirst) {
        rest.insert(rest.end(), args.begin() + static_cast<ptrdiff_t>(i), args.end());
        break;
      }
      rest.emplace_back(arg);
      continue;
    }
    arg.remove_prefix(arg.starts_with("--") ? 2 : 1);
    size_t equals = arg.find('=');
    std::string_view name = arg.substr(0, equals);
    if (name == "help" || name == "h") {
      help_ = true;
      continue;
    }
    const Flag* flag = Find(name);
    if (flag == nullptr) return boot::Error("unknown flag ", args[i].substr(0, args[i].find('=')));
    std::string value = "true";
    if (equals != arg.npos) {
      value = arg.substr(equals + 1);
    } else if (flag->takes_value) {
      if (i + 1 == args.size()) return boot::Error("flag ", args[i], " needs a value");
      value = args[++i];
    }
    if (!flag->set(value))
      return boot::Error("invalid value \"", value, "\" for flag --", flag->name);
  }
  return rest;
}

std::string FlagParser::Help() const {
  std::string out = "usage: " + usage_ + "\n";
  for (const Flag& flag : flags_) {
    if (flag.help.empty()) continue;
    std::string left = "  --" + flag.name;
    if (!flag.short_name.empty()) left += ", -" + flag.short_name;
    if (flag.takes_value) left += " VALUE";
    left.resize(std::max<size_t>(left.size() + 2, 30), ' ');
    out += left + flag.help + "\n";
  }
  return out;
}

}  // namespace cli
