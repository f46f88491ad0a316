#include "monitor/monitor.h"

#include <fmt/format.h>

#include <utility>

#include "consumer/consumers.h"
#include "monitor/prometheus_text.h"
#include "server/account_labels.h"
#include "server/version.h"
#include "stream/streams.h"

namespace sluice {
namespace {

struct Usage {
  uint64_t file_bytes = 0;
  uint64_t memory_bytes = 0;
  size_t streams = 0;
  size_t consumers = 0;

  void add(const AccountJetStream& account) {
    streams += account.streams->size();
    consumers += account.consumers->size();
    account.streams->each([this](Stream& stream) {
      const bool file = stream.config().storage == StorageKind::kFile;
      (file ? file_bytes : memory_bytes) += stream.store().state().bytes;
    });
  }
};

void collect_usage(std::string_view account, const Usage& usage, MetricSink& sink) {
  const MetricLabels labels{{"account", account}};
  const auto gauge = [&](std::string_view name, std::string_view help, uint64_t value) {
    sink.gauge(name, help, labels, static_cast<double>(value));
  };
  gauge("sluice_account_storage_bytes", "Bytes of an account's streams on disk, by the API's record sizes.",
        usage.file_bytes);
  gauge("sluice_account_memory_bytes", "The same, of its streams in memory.", usage.memory_bytes);
  gauge("sluice_account_streams", "Streams of an account.", usage.streams);
  gauge("sluice_account_consumers", "Consumers of an account.", usage.consumers);
}

/// By account; of more than kMaxAccountLabels those that come later by name are one.
void collect_usages(const std::vector<AccountJetStream>& accounts, MetricSink& sink) {
  Usage others;
  for (size_t i = 0; i < accounts.size(); ++i) {
    Usage own;
    (i < kMaxAccountLabels ? own : others).add(accounts[i]);
    if (i < kMaxAccountLabels) collect_usage(accounts[i].account, own, sink);
  }
  if (accounts.size() > kMaxAccountLabels) collect_usage(kOtherAccounts, others, sink);
}

HttpResponse response_of(PageAnswer answer) {
  HttpResponse response;
  response.status = answer.status;
  response.body = std::move(answer.body);
  if (!answer.json) response.content_type = "text/plain; charset=utf-8";
  response.headers.emplace_back("Access-Control-Allow-Origin", "*");
  return response;
}

}  // namespace

Monitor::Monitor(Env& env, MonitorPages& pages, std::string base_path)
    : env_(env),
      pages_(pages),
      http_(env.timers, HttpServerOptions{}),
      base_path_(std::move(base_path)) {
  http_.add(base_path_ + "/", [this](const HttpRequest&) { return index(); });
  const auto add = [this](const std::string& path, std::string_view name) {
    http_.add(base_path_ + path, [this, path, name](const HttpRequest& request) {
      pages_.count_request(path);
      return response_of(pages_.answer(name, PageQuery(request.query)));
    });
  };
  for (std::string_view name : MonitorPages::names()) add("/" + std::string(name), name);
  add("/subscriptionsz", "subsz");
  http_.add(base_path_ + "/metrics", [this](const HttpRequest&) { return metrics(); });
}

Monitor::~Monitor() = default;

Status Monitor::listen(const std::string& host, uint16_t port) {
  auto listening = http_.listen(env_.network, host, port);
  if (listening) pages_.set_address({host, this->port(), base_path_});
  return listening;
}

void Monitor::add_metrics(std::function<void(MetricSink&)> collect) {
  metrics_.push_back(std::move(collect));
}

void Monitor::add_page(std::string path, std::function<std::string()> json) {
  own_pages_.push_back(path);
  http_.add(base_path_ + path, [json = std::move(json)](const HttpRequest&) {
    HttpResponse response;
    response.body = json();
    return response;
  });
}

HttpResponse Monitor::index() {
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.body = fmt::format(
      "<!DOCTYPE html><html lang=\"en\"><title>Sluice {0}</title><h1>Sluice {0}</h1><ul>",
      kSluiceVersion);
  const auto link = [&](std::string_view path) {
    response.body += fmt::format("<li><a href=\".{0}\">{0}</a></li>", path);
  };
  for (std::string_view name : MonitorPages::names()) link("/" + std::string(name));
  link("/metrics");
  for (const std::string& path : own_pages_) link(path);
  response.body += "</ul></html>\n";
  return response;
}

HttpResponse Monitor::metrics() {
  PrometheusText out;
  ProcessFigures process = pages_.process();
  out.gauge("process_resident_memory_bytes", "Resident memory of the process", {},
            static_cast<double>(process.resident_bytes));
  out.counter("process_cpu_seconds_total", "User and system time of the process", {},
              process.cpu_seconds);
  out.gauge("sluice_build_info", "1; the versions are the labels",
            {{"version", kSluiceVersion}, {"compatibility_version", kCompatVersion}}, 1);
  const MonitorSubject& subject = pages_.subject();
  subject.server.collect(out);
  if (subject.store != nullptr) subject.store->collect(out);
  collect_usages(subject.jetstream(), out);
  http_.collect(out);
  for (const auto& collect : metrics_) collect(out);
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = out.text();
  return response;
}

}  // namespace sluice
