#include "api/api_refusal.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "api/verb.h"
#include "stream/pub_ack.h"

namespace sluice {
namespace {

class Refusal : public ApiRefusal {
 public:
  Refusal(Bus& bus, uint16_t api_code) {
    for (const ApiVerb& verb : api_verbs()) {
      std::string body =
          fmt::format(R"({{"type":"io.nats.jetstream.api.v1.{}","error":{}}})", verb.response,
                      api_error_json(Error{Errc::kUnsupported, api_code, {}}));
      if (verb.failed.size() > 2) body.replace(body.size() - 1, 1, "," + std::string(verb.failed.substr(1)));
      subscriptions_.push_back(bus.subscribe(
          fmt::format("$JS.API.{}", verb.pattern), "",
          [&bus, text = std::move(body)](const Message& request, const Origin&) {
            if (request.reply.empty()) return;
            bus.publish({.subject = request.reply, .reply = "", .headers = "", .payload = text});
          }));
    }
  }

 private:
  std::vector<std::unique_ptr<BusSubscription>> subscriptions_;
};

}  // namespace

std::unique_ptr<ApiRefusal> ApiRefusal::make(Bus& bus, uint16_t api_code) {
  return std::make_unique<Refusal>(bus, api_code);
}

}  // namespace sluice
