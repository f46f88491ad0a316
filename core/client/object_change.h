// One change of what stands under an object's name, against other writers.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/ticket.h"
#include "client/object_info.h"
#include "client/stream_client.h"

namespace sluice {

/// The description of `name`, also one of a deletion; kNotFound when there is none.
Ticket read_object_info(StreamClient& client, const std::string& bucket, const std::string& name,
                        std::move_only_function<void(Result<ObjectInfo>)> done);

/// Reads what stands there, lets `decide` say what shall (or why not), writes that if nobody was faster, else begins
/// again; then frees the chunks that no description names any more. kFull after losing eight times.
Ticket change_object(StreamClient& client, std::string bucket, std::string name,
                     std::move_only_function<Result<ObjectInfo>(const std::optional<ObjectInfo>&)> decide,
                     std::move_only_function<void(Result<ObjectInfo>)> done);

/// Removes the messages of a subject; the answer is not waited for.
void forget_object_subject(StreamClient& client, const std::string& bucket, const std::string& subject);

}  // namespace sluice
