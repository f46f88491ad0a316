#include "sourcing/origin_port.h"

#include <fmt/format.h>

#include "base/nuid.h"

namespace sluice {
namespace {

class BusPort final : public OriginPort {
 public:
  BusPort(Env& env, Bus& bus) : env_(env), bus_(bus) {}

  std::unique_ptr<Subscription> subscribe(std::string_view subject, Handler handler) override {
    auto made = std::make_unique<OnBus>();
    made->subscription = bus_.subscribe(
        subject, "", [run = std::move(handler)](const Message& m, const Origin&) mutable { run(m); });
    return made;
  }
  bool publish(const Message& message) override { return bus_.publish(message) > 0; }
  std::string new_inbox() override {
    return fmt::format("$JSC.R.{}", random_base62(8, env_.random));
  }
  std::string api_prefix(std::string_view external_api) const override {
    return std::string(external_api.empty() ? "$JS.API" : external_api);
  }

 private:
  struct OnBus final : Subscription {
    std::unique_ptr<BusSubscription> subscription;
  };
  Env& env_;
  Bus& bus_;
};

class LinkPort final : public OriginPort {
 public:
  LinkPort(NatsLink& link, std::string_view domain)
      : link_(link), api_(domain.empty() ? "$JS.API" : fmt::format("$JS.{}.API", domain)) {}

  std::unique_ptr<Subscription> subscribe(std::string_view subject, Handler handler) override {
    auto made = std::make_unique<OnLink>();
    made->subscription =
        link_.subscribe(subject, "", [run = std::move(handler)](const LinkMessage& m) mutable {
          run({.subject = m.subject, .reply = m.reply, .headers = m.headers, .payload = m.payload});
        });
    return made;
  }
  bool publish(const Message& m) override {
    return link_.publish({m.subject, m.reply, m.headers, m.payload}).has_value();
  }
  std::string new_inbox() override { return link_.new_inbox(); }
  std::string api_prefix(std::string_view) const override { return api_; }

 private:
  struct OnLink final : Subscription {
    std::unique_ptr<LinkSubscription> subscription;
  };
  NatsLink& link_;
  const std::string api_;
};

}  // namespace

std::unique_ptr<OriginPort> make_bus_port(Env& env, Bus& bus) {
  return std::make_unique<BusPort>(env, bus);
}

std::unique_ptr<OriginPort> make_link_port(NatsLink& link, std::string_view domain) {
  return std::make_unique<LinkPort>(link, domain);
}

}  // namespace sluice
