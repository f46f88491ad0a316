// A drop folder: files that are put into it become messages of a stream.
#pragma once

#include <memory>
#include <string_view>

#include "adapters/adapter.h"
#include "adapters/file_drop/options.h"
#include "adapters/file_drop/plain_files.h"
#include "adapters/folder_watch.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

/// Whoever drops a file renames it into the folder; names that begin with '.' or end in ".tmp", ".part",
/// ".partial", ".swp" or "~" are somebody's unfinished work and left alone, and so are folders.
///
/// A file is moved to the done folder, or deleted, when it is durable in the stream; what can't be read or
/// is too large goes to the failed folder with a file "<name>.reason" beside it, and into the dead letters.
/// The id of a message is made of the file's name and bytes: a daemon that was killed between the two
/// stores it once.
/// What is no regular file fails as `not_a_file`, unread: a link dropped by somebody never shows what the daemon may read. start()
/// refuses a failed folder that others may write to.
/// @return kInvalidArgument when a setting can't be used.
Result<std::unique_ptr<Adapter>> make_file_drop(Env& env, StreamClient& target, FileDropOptions options,
                                                std::unique_ptr<FolderWatch> watch, std::unique_ptr<PlainFiles> files);

bool is_unfinished_name(std::string_view name);

}  // namespace sluice
