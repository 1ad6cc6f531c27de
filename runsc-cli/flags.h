#pragma once

// Command line flags by a small table: "--name value", "--name=value", "-n value", "--switch",
// "--switch=false". No global registry, nothing at process start.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sentry/boot/status.h"

namespace cli {

using boot::Status;
using boot::StatusOr;

using Args = std::vector<std::string>;

class FlagParser {
 public:
  enum class Order {
    kFlagsFirst,  // the first argument that is no flag ends them: what follows is a command line of
                  // its own
    kAnywhere,
  };

  // `usage` is the line that --help prints first.
  FlagParser(std::string usage, Order order) : usage_(std::move(usage)), order_(order) {}

  // `names` is "all" or "all,a". An empty `help` hides the flag: it is accepted because callers
  // give it to any runtime.
  FlagParser& Bool(std::string_view names, bool* value, std::string_view help = "");
  FlagParser& String(std::string_view names, std::string* value, std::string_view help = "");
  FlagParser& Strings(std::string_view names, Args* value, std::string_view help = "");
  FlagParser& Int(std::string_view names, int* value, std::string_view help = "");
  // Accepted and without effect.
  FlagParser& Ignore(std::string_view names) { return Bool(names, &ignored_); }
  FlagParser& IgnoreValue(std::string_view names) { return String(names, &ignored_value_); }

  // What is left after the flags. "--" ends them too.
  StatusOr<Args> Parse(const Args& args);

  bool help_requested() const { return help_; }
  std::string Help() const;

 private:
  struct Flag {
    std::string name, short_name, help;
    bool takes_value;
    std::function<bool(const std::string&)> set;  // false: not a value of this flag
  };
  FlagParser& Add(std::string_view names, bool takes_value, std::string_view help,
                  std::function<bool(const std::string&)> set);
  const Flag* Find(std::string_view name) const;

  std::string usage_;
  Order order_;
  std::vector<Flag> flags_;
  bool help_ = false;
  bool ignored_ = false;
  std::string ignored_value_;
};

}  // namespace cli
