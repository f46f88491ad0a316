// The verbs about consumers; see verb.h. Each answers one subject of the table.
#pragma once

#include "api/verb.h"

namespace sluice::verbs {

/// CONSUMER.CREATE.<stream>[.<consumer>[.<filter>]]; tokens are empty when absent.
ApiAnswer consumer_create(ApiContext&, const ApiCall&);
/// CONSUMER.DURABLE.CREATE.<stream>.<consumer>
ApiAnswer consumer_durable_create(ApiContext&, const ApiCall&);
ApiAnswer consumer_names(ApiContext&, const ApiCall&);
ApiAnswer consumer_list(ApiContext&, const ApiCall&);
ApiAnswer consumer_info(ApiContext&, const ApiCall&);
ApiAnswer consumer_delete(ApiContext&, const ApiCall&);
ApiAnswer consumer_pause(ApiContext&, const ApiCall&);
/// CONSUMER.RESET.<stream>.<consumer>: `{seq}`, empty = the first message that is not acknowledged.
ApiAnswer consumer_reset(ApiContext&, const ApiCall&);
ApiAnswer consumer_unpin(ApiContext&, const ApiCall&);

}  // namespace sluice::verbs
