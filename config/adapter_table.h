// The rows that every kind of adapter begins with.
#pragma once

#include <string>

#include "adapters/choria_audit/options.h"
#include "config/field.h"

namespace sluice {

inline constexpr const char* kAdapterNameSentence = "Name of the adapter in logs, metrics and dead letters.";
inline constexpr const char* kAdapterAccountSentence = "Account of the embedded core that its messages and streams are in.";

/// `type`, `name` and `account`.
template <class O>
FieldTable<O> adapter_table(const char* sentence, const std::string& kind, const char* name_sentence = kAdapterNameSentence,
                            const char* account_sentence = kAdapterAccountSentence) {
  FieldTable<O> t(sentence);
  t.own("type", FieldKind::kText, "", [](ReadContext&, const YamlNode&, const FieldRow&, O&) {}).needed().doc("`" + kind + "`.");
  t.text("name", &O::name).doc(name_sentence);
  t.text("account", &O::account).shown_as("$G").doc(account_sentence);
  return t;
}

/// Of an audit log that is followed, whoever hosts it.
void add_audit_rows(FieldTable<ChoriaAuditOptions>& t);

}  // namespace sluice
