#include "api/consumer_verbs.h"
#include "api/stream_verbs.h"
#include "api/verb.h"

namespace sluice {
namespace {

constexpr ApiVerb kVerbs[] = {
    {"INFO", "account_info_response", verbs::account_info},

    {"STREAM.CREATE.*", "stream_create_response", verbs::stream_create},
    {"STREAM.UPDATE.*", "stream_update_response", verbs::stream_update},
    {"STREAM.NAMES", "stream_names_response", verbs::stream_names},
    {"STREAM.LIST", "stream_list_response", verbs::stream_list},
    {"STREAM.INFO.*", "stream_info_response", verbs::stream_info},
    {"STREAM.DELETE.*", "stream_delete_response", verbs::stream_delete},
    {"STREAM.PURGE.*", "stream_purge_response", verbs::stream_purge},
    {"STREAM.MSG.GET.*", "stream_msg_get_response", verbs::stream_msg_get},
    {"STREAM.MSG.DELETE.*", "stream_msg_delete_response", verbs::stream_msg_delete},
    {"STREAM.SNAPSHOT.*", "stream_snapshot_response", verbs::stream_snapshot},
    {"STREAM.RESTORE.*", "stream_restore_response", verbs::stream_restore},
    {"STREAM.LEADER.STEPDOWN.*", "stream_leader_stepdown_response", verbs::clustering_required},
    {"STREAM.PEER.REMOVE.*", "stream_remove_peer_response", verbs::clustering_required},
    {"STREAM.PEER.EVACUATE.*", "stream_remove_peer_response", verbs::clustering_required},
    {"STREAM.CANCEL_MOVE.*", "stream_update_response", verbs::clustering_required},

    {"CONSUMER.CREATE.*", "consumer_create_response", verbs::consumer_create},
    {"CONSUMER.CREATE.*.*", "consumer_create_response", verbs::consumer_create},
    {"CONSUMER.CREATE.*.*.>", "consumer_create_response", verbs::consumer_create},
    {"CONSUMER.DURABLE.CREATE.*.*", "consumer_create_response", verbs::consumer_durable_create},
    {"CONSUMER.NAMES.*", "consumer_names_response", verbs::consumer_names},
    {"CONSUMER.LIST.*", "consumer_list_response", verbs::consumer_list},
    {"CONSUMER.INFO.*.*", "consumer_info_response", verbs::consumer_info},
    {"CONSUMER.DELETE.*.*", "consumer_delete_response", verbs::consumer_delete},
    {"CONSUMER.PAUSE.*.*", "consumer_pause_response", verbs::consumer_pause},
    {"CONSUMER.UNPIN.*.*", "consumer_unpin_response", verbs::consumer_unpin},
    {"CONSUMER.LEADER.STEPDOWN.*.*", "consumer_leader_stepdown_response",
     verbs::clustering_required},
};

}  // namespace

std::span<const ApiVerb> api_verbs() { return kVerbs; }

}  // namespace sluice
