// The verbs about streams and the account; see verb.h. Each answers one subject of the table.
#pragma once

#include "api/verb.h"

namespace sluice::verbs {

ApiAnswer account_info(ApiContext&, const ApiCall&);
ApiAnswer stream_create(ApiContext&, const ApiCall&);
ApiAnswer stream_update(ApiContext&, const ApiCall&);
ApiAnswer stream_names(ApiContext&, const ApiCall&);
ApiAnswer stream_list(ApiContext&, const ApiCall&);
ApiAnswer stream_info(ApiContext&, const ApiCall&);
ApiAnswer stream_delete(ApiContext&, const ApiCall&);
ApiAnswer stream_purge(ApiContext&, const ApiCall&);
ApiAnswer stream_msg_get(ApiContext&, const ApiCall&);
ApiAnswer stream_msg_delete(ApiContext&, const ApiCall&);
ApiAnswer stream_snapshot(ApiContext&, const ApiCall&);
ApiAnswer stream_restore(ApiContext&, const ApiCall&);
/// Calls that only a cluster can carry out: 10010.
ApiAnswer clustering_required(ApiContext&, const ApiCall&);

}  // namespace sluice::verbs
