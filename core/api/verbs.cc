#include "api/consumer_verbs.h"
#include "api/stream_verbs.h"
#include "api/verb.h"

namespace sluice {
namespace {

constexpr std::string_view kNoPage = R"({"total":0,"offset":0,"limit":0})";
constexpr std::string_view kNoNames = R"({"total":0,"offset":0,"limit":0,"streams":null})";
constexpr std::string_view kNoStreams = R"({"total":0,"offset":0,"limit":0,"streams":[]})";
constexpr std::string_view kNoConsumers = R"({"total":0,"offset":0,"limit":0,"consumers":[]})";
constexpr std::string_view kNotPaused = R"({"paused":false,"pause_until":"0001-01-01T00:00:00Z"})";
constexpr std::string_view kNotReset = R"({"reset_seq":0})";
constexpr std::string_view kNonePurged = R"({"purged":0})";

constexpr ApiVerb kVerbs[] = {
    {"INFO", "account_info_response", verbs::account_info},

    {"STREAM.CREATE.*", "stream_create_response", verbs::stream_create},
    {"STREAM.UPDATE.*", "stream_update_response", verbs::stream_update},
    {"STREAM.NAMES", "stream_names_response", verbs::stream_names, kNoNames},
    {"STREAM.LIST", "stream_list_response", verbs::stream_list, kNoStreams},
    {"STREAM.INFO.*", "stream_info_response", verbs::stream_info, kNoPage},
    {"STREAM.DELETE.*", "stream_delete_response", verbs::stream_delete},
    {"STREAM.PURGE.*", "stream_purge_response", verbs::stream_purge, kNonePurged},
    {"STREAM.MSG.GET.*", "stream_msg_get_response", verbs::stream_msg_get},
    {"STREAM.MSG.DELETE.*", "stream_msg_delete_response", verbs::stream_msg_delete},
    {"STREAM.SNAPSHOT.*", "stream_snapshot_response", verbs::stream_snapshot},
    {"STREAM.RESTORE.*", "stream_restore_response", verbs::stream_restore, R"({"deliver_subject":""})"},
    {"STREAM.LEADER.STEPDOWN.*", "stream_leader_stepdown_response", verbs::clustering_required},
    {"STREAM.PEER.REMOVE.*", "stream_remove_peer_response", verbs::clustering_required},
    {"STREAM.PEER.EVACUATE.*", "stream_evacuate_peer_response", verbs::clustering_required},
    {"STREAM.CANCEL_MOVE.*", "stream_cancel_move_response", verbs::clustering_required},

    {"CONSUMER.CREATE.*", "consumer_create_response", verbs::consumer_create},
    {"CONSUMER.CREATE.*.*", "consumer_create_response", verbs::consumer_create},
    {"CONSUMER.CREATE.*.*.>", "consumer_create_response", verbs::consumer_create},
    {"CONSUMER.DURABLE.CREATE.*.*", "consumer_create_response", verbs::consumer_durable_create},
    {"CONSUMER.NAMES.*", "consumer_names_response", verbs::consumer_names, kNoConsumers},
    {"CONSUMER.LIST.*", "consumer_list_response", verbs::consumer_list, kNoConsumers},
    {"CONSUMER.INFO.*.*", "consumer_info_response", verbs::consumer_info},
    {"CONSUMER.DELETE.*.*", "consumer_delete_response", verbs::consumer_delete},
    {"CONSUMER.PAUSE.*.*", "consumer_pause_response", verbs::consumer_pause, kNotPaused},
    {"CONSUMER.RESET.*.*", "consumer_reset_response", verbs::consumer_reset, kNotReset},
    {"CONSUMER.UNPIN.*.*", "consumer_unpin_response", verbs::consumer_unpin},
    {"CONSUMER.LEADER.STEPDOWN.*.*", "consumer_leader_stepdown_response",
     verbs::clustering_required},
};

}  // namespace

std::span<const ApiVerb> api_verbs() { return kVerbs; }

}  // namespace sluice
