// Runs named parts against one server with nats.c and prints a line per observation.
// Two servers that answer alike give the same text: nothing that depends on time, ports or random names is printed.
#include <inttypes.h>
#include <nats/nats.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

// Ends the program, with the place, when a call fails that should not.
static void check_at(natsStatus s, int line) {
  if (s == NATS_OK) return;
  fprintf(stderr, "line %d: %s: %s\n", line, natsStatus_GetText(s), nats_GetLastError(NULL));
  exit(1);
}
#define CHECK(call) check_at((call), __LINE__)

static jsErrCode code;  // the API error number of the last call

static void outcome(const char *label, natsStatus s) {
  printf("%s: %s | %d\n", label, natsStatus_GetText(s), (int)code);
  code = 0;
}

static void print_message(const char *label, natsMsg *m) {
  jsMsgMetaData *meta = NULL;
  printf("%s: %s | %.*s", label, natsMsg_GetSubject(m), natsMsg_GetDataLength(m), natsMsg_GetData(m));
  if (natsMsg_GetMetaData(&meta, m) == NATS_OK) {
    printf(" | stream %" PRIu64 " consumer %" PRIu64 " delivered %" PRIu64 " pending %" PRIu64, meta->Sequence.Stream,
           meta->Sequence.Consumer, meta->NumDelivered, meta->NumPending);
    jsMsgMetaData_Destroy(meta);
  }
  printf("\n");
}

static void answer(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *closure) {
  (void)sub;
  (void)closure;
  natsConnection_PublishString(nc, natsMsg_GetReply(m), "answer");
  natsMsg_Destroy(m);
}

static void core(natsConnection *nc, jsCtx *js) {
  (void)js;
  natsSubscription *sub = NULL, *service = NULL;
  natsMsg *m = NULL;
  CHECK(natsConnection_SubscribeSync(&sub, nc, "a.*"));
  CHECK(natsMsg_Create(&m, "a.b", "back", "body", 4));
  CHECK(natsMsgHeader_Add(m, "One", "1"));
  CHECK(natsMsgHeader_Add(m, "One", "2"));
  CHECK(natsConnection_PublishMsg(nc, m));
  natsMsg_Destroy(m);
  CHECK(natsSubscription_NextMsg(&m, sub, 2000));
  const char **values = NULL;
  int count = 0;
  CHECK(natsMsgHeader_Values(m, "One", &values, &count));
  printf("headers: %s | %s | %d %s %s\n", natsMsg_GetReply(m), natsMsg_GetData(m), count, values[0], values[1]);
  free((void *)values);
  natsMsg_Destroy(m);
  CHECK(natsConnection_Subscribe(&service, nc, "service", answer, NULL));
  CHECK(natsConnection_RequestString(&m, nc, "service", "ask", 2000));
  printf("request: %s\n", natsMsg_GetData(m));
  natsMsg_Destroy(m);
  outcome("no responders", natsConnection_RequestString(&m, nc, "nobody", "", 2000));
  CHECK(natsSubscription_Drain(sub));
  CHECK(natsSubscription_WaitForDrainCompletion(sub, 2000));
  printf("drained: %d\n", (int)natsSubscription_DrainCompletionStatus(sub));
  natsSubscription_Destroy(sub);
  natsSubscription_Destroy(service);
}

static void publish(jsCtx *js, const char *label, const char *subject, jsPubOptions *options) {
  jsPubAck *ack = NULL;
  natsStatus s = js_Publish(&ack, js, subject, "x", 1, options, &code);
  if (s == NATS_OK)
    printf("%s: %s | %" PRIu64 " | %d\n", label, ack->Stream, ack->Sequence, ack->Duplicate);
  else
    outcome(label, s);
  jsPubAck_Destroy(ack);
}

static void add_stream(jsCtx *js, const char *name, const char *subject) {
  jsStreamConfig config;
  jsStreamInfo *info = NULL;
  jsStreamConfig_Init(&config);
  config.Name = name;
  config.Subjects = &subject;
  config.SubjectsLen = 1;
  natsStatus s = js_AddStream(&info, js, &config, NULL, &code);
  if (s == NATS_OK)
    printf("stream: %s | %" PRId64 " | %" PRId64 " | %" PRId64 " | %d\n", info->Config->Name, info->Config->MaxMsgs,
           info->Config->Duplicates, info->Config->Replicas, info->Config->Storage);
  else
    outcome("stream refused", s);
  jsStreamInfo_Destroy(info);
}

static void print_state(jsCtx *js, const char *stream) {
  jsStreamInfo *info = NULL;
  natsStatus s = js_GetStreamInfo(&info, js, stream, NULL, &code);
  if (s == NATS_OK)
    printf("state: %" PRIu64 " messages | %" PRIu64 " bytes | %" PRIu64 " to %" PRIu64 " | %" PRIu64 " deleted\n",
           info->State.Msgs, info->State.Bytes, info->State.FirstSeq, info->State.LastSeq, info->State.NumDeleted);
  else
    outcome("no state", s);
  jsStreamInfo_Destroy(info);
}

static void streams(natsConnection *nc, jsCtx *js) {
  (void)nc;
  add_stream(js, "S", "s.*");
  add_stream(js, "T", "s.a");
  jsPubOptions options;
  natsMsg *m = NULL;
  publish(js, "publish", "s.a", NULL);
  jsPubOptions_Init(&options);
  options.MsgId = "id";
  publish(js, "with an id", "s.a", &options);
  publish(js, "again", "s.a", &options);
  jsPubOptions_Init(&options);
  options.ExpectLastSeq = 77;
  publish(js, "wrong last sequence", "s.a", &options);
  jsPubOptions_Init(&options);
  options.ExpectNoMessage = true;
  publish(js, "subject is not empty", "s.a", &options);
  publish(js, "subject is empty", "s.b", &options);
  publish(js, "no stream", "nobody", NULL);
  for (int i = 0; i < 1000; i++) CHECK(js_PublishAsync(js, "s.c", "async", 5, NULL));
  CHECK(js_PublishAsyncComplete(js, NULL));
  print_state(js, "S");
  CHECK(js_GetMsg(&m, js, "S", 2, NULL, &code));
  printf("get: %s | %" PRIu64 "\n", natsMsg_GetSubject(m), natsMsg_GetSequence(m));
  natsMsg_Destroy(m);
  outcome("delete", js_DeleteMsg(js, "S", 2, NULL, &code));
  outcome("delete again", js_DeleteMsg(js, "S", 2, NULL, &code));
  outcome("get deleted", js_GetMsg(&m, js, "S", 2, NULL, &code));
  CHECK(js_PurgeStream(js, "S", NULL, &code));
  print_state(js, "S");
  CHECK(js_DeleteStream(js, "S", NULL, &code));
  print_state(js, "S");
}

static void read_and_ack(const char *label, natsSubscription *sub, int count, bool ack) {
  for (int i = 0; i < count; i++) {
    natsMsg *m = NULL;
    CHECK(natsSubscription_NextMsg(&m, sub, 2000));
    print_message(label, m);
    if (ack) CHECK(natsMsg_AckSync(m, NULL, &code));
    natsMsg_Destroy(m);
  }
}

static void consumers(natsConnection *nc, jsCtx *js) {
  (void)nc;
  natsSubscription *sub = NULL;
  natsMsgList list;
  jsSubOptions options;
  jsConsumerInfo *info = NULL;
  add_stream(js, "C", "c");
  for (int i = 0; i < 10; i++) publish(js, "fill", "c", NULL);
  CHECK(js_PullSubscribe(&sub, js, "c", "worker", NULL, NULL, &code));
  CHECK(natsSubscription_Fetch(&list, sub, 10, 2000, &code));
  for (int i = 0; i < list.Count; i++) print_message("fetched", list.Msgs[i]);
  CHECK(natsMsg_AckSync(list.Msgs[0], NULL, &code));
  CHECK(natsMsg_Term(list.Msgs[1], NULL));
  CHECK(natsMsg_AckSync(list.Msgs[2], NULL, &code));
  CHECK(natsMsg_NakWithDelay(list.Msgs[3], 100, NULL));
  natsMsgList_Destroy(&list);
  CHECK(js_GetConsumerInfo(&info, js, "C", "worker", NULL, &code));
  printf("standing: %" PRIu64 " | %" PRIu64 " | %" PRId64 " | %" PRIu64 "\n", info->Delivered.Stream,
         info->AckFloor.Stream, info->NumAckPending, info->NumPending);
  jsConsumerInfo_Destroy(info);
  CHECK(natsSubscription_Fetch(&list, sub, 1, 2000, &code));
  for (int i = 0; i < list.Count; i++) print_message("fetched", list.Msgs[i]);
  natsMsgList_Destroy(&list);
  natsSubscription_Destroy(sub);
  CHECK(js_SubscribeSync(&sub, js, "c", NULL, NULL, &code));
  read_and_ack("push", sub, 10, true);
  natsSubscription_Destroy(sub);
  jsSubOptions_Init(&options);
  options.Ordered = true;
  CHECK(js_SubscribeSync(&sub, js, "c", NULL, &options, &code));
  read_and_ack("ordered", sub, 10, false);
  natsSubscription_Destroy(sub);
  outcome("missing", js_GetConsumerInfo(&info, js, "C", "none", NULL, &code));
  CHECK(js_DeleteStream(js, "C", NULL, &code));
}

static void print_entry(const char *label, kvEntry *e) {
  if (e == NULL) {
    printf("%s: (end of the present)\n", label);
    return;
  }
  const char *value = kvEntry_ValueString(e);
  printf("%s: %s | %s | %" PRIu64 " | %d | %" PRIu64 "\n", label, kvEntry_Key(e), value ? value : "",
         kvEntry_Revision(e), (int)kvEntry_Operation(e), kvEntry_Delta(e));
  kvEntry_Destroy(e);
}

static void keyvalue(natsConnection *nc, jsCtx *js) {
  (void)nc;
  kvStore *kv = NULL;
  kvConfig config;
  kvEntry *e = NULL;
  kvWatcher *watcher = NULL;
  kvEntryList history;
  kvKeysList keys;
  uint64_t revision = 0;
  kvConfig_Init(&config);
  config.Bucket = "BOX";
  config.History = 3;
  CHECK(js_CreateKeyValue(&kv, js, &config));
  CHECK(kvStore_PutString(&revision, kv, "a", "1"));
  CHECK(kvStore_PutString(&revision, kv, "a", "2"));
  CHECK(kvStore_Get(&e, kv, "a"));
  print_entry("get", e);
  outcome("missing", kvStore_Get(&e, kv, "none"));
  CHECK(kvStore_CreateString(&revision, kv, "new", "n"));
  outcome("create again", kvStore_CreateString(&revision, kv, "new", "n"));
  CHECK(kvStore_UpdateString(&revision, kv, "new", "u", 3));
  outcome("stale update", kvStore_UpdateString(&revision, kv, "new", "u", 1));
  CHECK(kvStore_Delete(kv, "a"));
  CHECK(kvStore_History(&history, kv, "a", NULL));
  for (int i = 0; i < history.Count; i++) {
    print_entry("history", history.Entries[i]);
    history.Entries[i] = NULL;
  }
  kvEntryList_Destroy(&history);
  CHECK(kvStore_Keys(&keys, kv, NULL));
  for (int i = 0; i < keys.Count; i++) printf("key: %s\n", keys.Keys[i]);
  kvKeysList_Destroy(&keys);
  CHECK(kvStore_WatchAll(&watcher, kv, NULL));
  CHECK(kvStore_PutString(&revision, kv, "live", "x"));
  for (int i = 0; i < 4; i++) {
    CHECK(kvWatcher_Next(&e, watcher, 2000));
    print_entry("watch", e);
  }
  kvWatcher_Destroy(watcher);
  CHECK(kvStore_Purge(kv, "a", NULL));
  outcome("purged", kvStore_Get(&e, kv, "a"));
  kvStore_Destroy(kv);
  CHECK(js_DeleteKeyValue(js, "BOX"));
  outcome("bucket gone", js_KeyValue(&kv, js, "BOX"));
}

static const struct {
  const char *name;
  void (*run)(natsConnection *, jsCtx *);
} kParts[] = {{"core", core}, {"streams", streams}, {"consumers", consumers}, {"keyvalue", keyvalue}};

int main(int argc, char **argv) {
  for (size_t i = 0; argc == 3 && i < COUNT(kParts); i++) {
    if (strcmp(argv[2], kParts[i].name) != 0) continue;
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    CHECK(natsConnection_ConnectTo(&nc, argv[1]));
    CHECK(natsConnection_JetStream(&js, nc, NULL));
    kParts[i].run(nc, js);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    nats_Close();
    return 0;
  }
  fprintf(stderr, "usage: clients URL PART; parts: core streams consumers keyvalue\n");
  return 2;
}
