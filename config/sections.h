// The rows of each section of the file.
#pragma once

#include "config/field.h"

namespace sluice {

const FieldRows& config_fields();               ///< the file itself; target: Config
const FieldRows& server_fields();               ///< ServerSettings
const FieldRows& store_fields();                ///< StoreSettings
const FieldRows& monitor_fields();              ///< MonitorSettings
const FieldRows& log_fields();                  ///< LogOptions
const FieldRows& choria_registration_fields();  ///< ChoriaRegistrationOptions
const FieldRows& replicator_fields();           ///< ReplicatorOptions

}  // namespace sluice
