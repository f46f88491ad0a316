#include "node/node.h"

#include <utility>

#include "server/version.h"

namespace sluice {

Node::Node(Env& env, NodeOptions options) : env_(env), options_(std::move(options)) {}

Node::~Node() = default;

Result<std::unique_ptr<Node>> Node::make(Env& env, NodeOptions options) {
  std::unique_ptr<Node> node(new Node(env, std::move(options)));
  if (auto opened = node->open(); !opened) return std::unexpected(opened.error());
  return node;
}

Status Node::open() {
  if (options_.server.jetstream) {
    auto store = Store::open(env_, options_.store);
    if (!store) return std::unexpected(store.error());
    store_ = std::move(*store);
  }
  server_ = std::make_unique<Server>(env_, options_.server);
  if (!options_.server.jetstream) return {};

  StreamsOptions streams = options_.streams;
  streams.domain = options_.server.domain;
  streams.max_file_bytes = options_.max_file_bytes;
  streams.max_memory_bytes = options_.max_memory_bytes;
  streams_ = Streams::make(env_, bus(), store_.get(), streams);

  ConsumersOptions consumers = options_.consumers;
  consumers.domain = options_.server.domain;
  consumers_ = Consumers::make(env_, bus(), *streams_, store_.get(), consumers);

  ApiOptions api;
  api.server_name = server_->name();
  api.server_id = server_->id();
  api.domain = options_.server.domain;
  api.version = std::string(kCompatVersion);
  api.max_file_bytes = options_.max_file_bytes;
  api.max_memory_bytes = options_.max_memory_bytes;
  api.max_streams = options_.streams.max_streams;
  api.max_consumers = options_.consumers.max_consumers_per_account;
  api_ = ApiDispatcher::make(env_, bus(), store_.get(), *streams_, *consumers_, api);
  return {};
}

Status Node::start() { return server_->start(); }

void Node::stop(std::chrono::nanoseconds grace, std::move_only_function<void(Status)> done) {
  if (consumers_) consumers_->shut_down();
  server_->drain(grace, [this, done = std::move(done)]() mutable {
    if (!store_) {
      done({});
      return;
    }
    // No request comes any more: what is in the journal's buffer now is the last of it.
    api_.reset();
    store_->close(std::move(done));
  });
}

void Node::collect(MetricSink& sink) const {
  server_->collect(sink);
  if (!streams_) return;
  store_->collect(sink);
  streams_->collect(sink);
  consumers_->collect(sink);
  api_->collect(sink);
}

}  // namespace sluice
