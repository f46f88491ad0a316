#include <limits>

#include "config/config.h"
#include "config/sections.h"

namespace sluice {
namespace {

const FieldRows& copy_fields() {
  static const FieldRows rows = [] {
    using O = StreamCopyOptions;
    FieldTable<O> t("One stream copied in one direction.");
    t.text("name", &O::name).shown_as("the stream's name").doc("Name of the copy.");
    t.text("stream", &O::stream).needed().doc("Stream at the source.");
    t.text("target_stream", &O::target_stream)
        .shown_as("the same name")
        .doc("Stream at the target.");
    t.link("source", &O::source).doc("System to read from.");
    t.link("target", &O::target).doc("System to write to.");
    t.text("filter_subject", &O::filter_subject)
        .doc("Copy only these subjects; everything when empty.");
    t.count("window_messages", &O::window_messages)
        .between(1, 100'000)
        .doc("Messages on their way to the target, not yet acknowledged.");
    t.size("window_size", &O::window_bytes)
        .between(64 * 1024, static_cast<int64_t>(kGiB))
        .doc("Bytes on their way to the target.");
    t.flag("create_target", &O::create_target).doc("Make the target stream when it is missing.");
    return t.take();
  }();
  return rows;
}

}  // namespace

const FieldRows& replicator_fields() {
  static const FieldRows rows = [] {
    using O = ReplicatorOptions;
    FieldTable<O> t("Copies streams between systems.");
    t.text("name", &O::name).doc("Name of this replicator in the header of copied messages.");
    t.text("state_dir", &O::state_dir)
        .shown_as("<store.dir>/replicator")
        .doc("Folder for positions, beside what the targets tell themselves.");
    t.section_list("streams", &O::streams, copy_fields());
    return t.take();
  }();
  return rows;
}

}  // namespace sluice
