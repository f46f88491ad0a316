// Runs named parts against one server with nats.c and prints a line per observation.
// Two servers that answer alike give the same text: nothing that depends on time, ports or random names is printed.
#include "clients.h"

#include <inttypes.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

void check_at(natsStatus s, const char *file, int line) {
  if (s == NATS_OK) return;
  fprintf(stderr, "%s:%d: %s: %s\n", file, line, natsStatus_GetText(s), nats_GetLastError(NULL));
  exit(1);
}

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

void answer(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *closure) {
  (void)sub;
  (void)closure;
  natsConnection_PublishString(nc, natsMsg_GetReply(m), "answer");
  natsMsg_Destroy(m);
}

// Both members of a crew get some, the crew gets each once, who is alone gets all.
static void queue_groups(natsConnection *nc) {
  natsSubscription *subs[3] = {NULL};
  int got[3] = {0};
  for (int i = 0; i < 2; i++) CHECK(natsConnection_QueueSubscribeSync(&subs[i], nc, "work", "crew"));
  CHECK(natsConnection_SubscribeSync(&subs[2], nc, "work"));
  for (int i = 0; i < 200; i++) CHECK(natsConnection_PublishString(nc, "work", "x"));
  CHECK(natsConnection_Flush(nc));  // what came before the PONG is here
  for (int i = 0; i < 3; i++) {
    natsMsg *m = NULL;
    while (natsSubscription_NextMsg(&m, subs[i], 50) == NATS_OK) {
      got[i]++;
      natsMsg_Destroy(m);
    }
    natsSubscription_Destroy(subs[i]);
  }
  printf("queue: %d | %d | %d\n", got[0] + got[1], got[0] > 0 && got[1] > 0, got[2]);
}

static void count_one(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *closure) {
  (void)nc;
  (void)sub;
  nats_Sleep(1);
  ++*(int *)closure;
  natsMsg_Destroy(m);
}

static void closed(natsConnection *nc, void *closure) {
  (void)nc;
  *(volatile bool *)closure = true;
}

// A connection that drains hears everything that was on its way.
static void drain_connection(natsConnection *nc) {
  natsConnection *other = NULL;
  natsSubscription *sub = NULL;
  natsOptions *options = NULL;
  char url[256];
  int heard = 0;
  static volatile bool over = false;
  CHECK(natsConnection_GetConnectedUrl(nc, url, sizeof url));
  CHECK(natsOptions_Create(&options));
  CHECK(natsOptions_SetURL(options, url));
  CHECK(natsOptions_SetClosedCB(options, closed, (void *)&over));
  CHECK(natsConnection_Connect(&other, options));
  CHECK(natsConnection_Subscribe(&sub, other, "drain.*", count_one, &heard));
  CHECK(natsConnection_Flush(other));
  for (int i = 0; i < 50; i++) CHECK(natsConnection_PublishString(nc, "drain.x", ""));
  CHECK(natsConnection_Flush(nc));
  CHECK(natsConnection_Flush(other));
  CHECK(natsConnection_Drain(other));
  for (int i = 0; i < 2000 && !over; i++) nats_Sleep(10);
  printf("drained connection: %d | %d\n", heard, over);
  natsSubscription_Destroy(sub);
  natsConnection_Destroy(other);
  natsOptions_Destroy(options);
}

static void core(natsConnection *nc, jsCtx *js) {
  (void)js;
  queue_groups(nc);
  drain_connection(nc);
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
  for (int i = 0; i < 4; i++) {
    // What is there is read before anything is put: a put in between would count as part of the present.
    if (i == 3) CHECK(kvStore_PutString(&revision, kv, "live", "x"));
    CHECK(kvWatcher_Next(&e, watcher, 20000));
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
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc == 3 && strcmp(argv[1], "logins") == 0) return logins(argv[2]);
  if (argc == 3 && strcmp(argv[1], "reconnect") == 0) return reconnect(argv[2]);
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
  fprintf(stderr, "usage: clients URL PART or clients logins|reconnect FILE; parts: core streams consumers keyvalue\n");
  return 2;
}
