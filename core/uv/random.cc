#include "uv/random.h"

#include <sys/random.h>

#include <array>
#include <bit>

#include "base/check.h"

namespace sluice {
namespace {

// Source: Blackman and Vigna, xoshiro256** 1.0 (public domain, prng.di.unimi.it).
class Xoshiro final : public Random {
 public:
  Xoshiro() {
    auto got = getrandom(state_.data(), sizeof state_, 0);
    SLUICE_CHECK(got == static_cast<ssize_t>(sizeof state_));
  }
  uint64_t u64() override {
    uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

 private:
  std::array<uint64_t, 4> state_{};
};

}  // namespace

std::unique_ptr<Random> make_random() { return std::make_unique<Xoshiro>(); }

}  // namespace sluice
