#include "server/password_checks.h"

#include <utility>

#include "base/error.h"
#include "crypto/password.h"

namespace sluice {

bool PasswordChecks::check(std::string hash, std::string secret,
                           std::move_only_function<void(bool)> done) {
  if (waiting_ >= kMaxWaiting) {
    ++refused_;
    return false;
  }
  ++waiting_;
  if (worker_ == nullptr) worker_ = workers_.make("passwords");
  worker_->submit(
      [hash = std::move(hash), secret = std::move(secret)]() -> Status {
        if (bcrypt_matches(hash, secret)) return {};
        return fail(Errc::kDenied, {});
      },
      [this, done = std::move(done)](const Status& status) mutable {
        --waiting_;
        done(status.has_value());
      });
  return true;
}

}  // namespace sluice
