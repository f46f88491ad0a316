// What the programs that prove promises share: how they read their arguments, and their last words.
#pragma once

#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <map>
#include <string_view>

extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace sluice::simulate {

/// Takes the text behind a name; false = it can't be that.
using TakeValue = std::function<bool(std::string_view text)>;

/// `to` is a uint64_t, or an optional one.
template <class T>
TakeValue number(T& to) {
  return [&to](std::string_view text) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return false;
    to = value;
    return true;
  };
}

/// @return false on a name that is in neither map, or a value that is missing or wrong.
inline bool read_arguments(int argc, char** argv, const std::map<std::string_view, bool*>& flags,
                           const std::map<std::string_view, TakeValue>& values) {
  for (int i = 1; i < argc; ++i) {
    if (const auto flag = flags.find(argv[i]); flag != flags.end()) {
      *flag->second = true;
      continue;
    }
    const auto value = values.find(argv[i]);
    if (value == values.end() || i + 1 >= argc || !value->second(argv[++i])) return false;
  }
  return true;
}

/// A check of the engine or a sanitizer stops the process: the seed must still be told.
inline char last_words[256];

inline void tell_last_words() {
  if (write(STDERR_FILENO, last_words, std::strlen(last_words)) < 0) return;
}

inline void tell_last_words_at(std::initializer_list<int> signals) {
  for (const int one : signals) {
    std::signal(one, [](int signal) {
      tell_last_words();
      std::signal(signal, SIG_DFL);
      std::raise(signal);
    });
  }
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(tell_last_words);
}

}  // namespace sluice::simulate
