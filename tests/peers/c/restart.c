// Consumes the numbers 0 to N-1 in one way by nats.c, stops at the half until told that the server was killed and started
// again, goes on, and prints what came as a JSON list.
#include <nats/nats.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N 400

static void check_at(natsStatus s, int line) {
  if (s == NATS_OK) return;
  fprintf(stderr, "line %d: %s: %s\n", line, natsStatus_GetText(s), nats_GetLastError(NULL));
  exit(1);
}
#define CHECK(call) check_at((call), __LINE__)

static int seen[100 * N];
static int seen_count, distinct;
static bool known[N];

// True when everything has come.
static bool take(const char *digits) {
  const int number = atoi(digits);
  if (number < 0 || number >= N || seen_count == 100 * N) exit(1);
  seen[seen_count++] = number;
  if (!known[number]) {
    known[number] = true;
    if (++distinct == N / 2) {
      printf("half\n");
      fflush(stdout);
      if (getchar() == EOF) exit(1);
    }
  }
  return distinct == N;
}

static void put_number(jsCtx *js, kvStore *kv, int number) {
  char digits[16], key[24];
  snprintf(digits, sizeof digits, "%d", number);
  snprintf(key, sizeof key, "k.%d", number);
  if (kv == NULL) {
    CHECK(js_Publish(NULL, js, "s.a", digits, (int)strlen(digits), NULL, NULL));
    return;
  }
  while (kvStore_PutString(NULL, kv, key, digits) != NATS_OK) nats_Sleep(50);  // the connection may not be back yet
}

static void fetch(jsCtx *js) {
  natsSubscription *sub = NULL;
  jsSubOptions options;
  jsSubOptions_Init(&options);
  options.Config.AckWait = 2000000000LL;
  CHECK(js_PullSubscribe(&sub, js, "s.>", "c", NULL, &options, NULL));
  for (bool done = false; !done;) {
    natsMsgList list = {0};
    if (natsSubscription_Fetch(&list, sub, 20, 2000, NULL) != NATS_OK) nats_Sleep(50);
    for (int i = 0; i < list.Count; i++) {
      done = take(natsMsg_GetData(list.Msgs[i])) || done;
      natsMsg_Ack(list.Msgs[i], NULL);
    }
    natsMsgList_Destroy(&list);
  }
  natsSubscription_Destroy(sub);
}

static void read_all(natsSubscription *sub, bool acked) {
  for (bool done = false; !done;) {
    natsMsg *m = NULL;
    if (natsSubscription_NextMsg(&m, sub, 2000) != NATS_OK) continue;
    done = take(natsMsg_GetData(m));
    if (acked) natsMsg_Ack(m, NULL);
    natsMsg_Destroy(m);
  }
  natsSubscription_Destroy(sub);
}

static void push(jsCtx *js) {
  natsSubscription *sub = NULL;
  jsSubOptions options;
  jsSubOptions_Init(&options);
  options.Queue = "crew";
  options.ManualAck = true;
  options.Config.Durable = "p";
  options.Config.AckPolicy = js_AckExplicit;
  options.Config.AckWait = 2000000000LL;
  options.Config.MaxAckPending = 20;
  CHECK(js_SubscribeSync(&sub, js, "s.>", NULL, &options, NULL));
  read_all(sub, true);
}

static void ordered(jsCtx *js) {
  natsSubscription *sub = NULL;
  jsSubOptions options;
  jsSubOptions_Init(&options);
  options.Ordered = true;
  options.Config.Heartbeat = 1000000000LL;
  CHECK(js_SubscribeSync(&sub, js, "s.>", NULL, &options, NULL));
  read_all(sub, false);
}

static void watch(jsCtx *js) {
  kvStore *kv = NULL;
  kvConfig config;
  kvWatcher *watcher = NULL;
  kvConfig_Init(&config);
  config.Bucket = "K";
  CHECK(js_CreateKeyValue(&kv, js, &config));
  for (int i = 0; i < N / 2; i++) put_number(js, kv, i);
  CHECK(kvStore_WatchAll(&watcher, kv, NULL));
  int put = N / 2;
  for (bool done = false; !done;) {
    kvEntry *e = NULL;
    if (kvWatcher_Next(&e, watcher, 2000) == NATS_OK && e != NULL) {
      done = take(kvEntry_ValueString(e));
      kvEntry_Destroy(e);
    }
    if (distinct >= N / 2 && put < N) put_number(js, kv, put++);
  }
  kvWatcher_Destroy(watcher);
  kvStore_Destroy(kv);
}

static const struct {
  const char *name;
  void (*run)(jsCtx *);
} kKinds[] = {{"fetch", fetch}, {"push", push}, {"ordered", ordered}, {"watch", watch}};

int main(int argc, char **argv) {
  for (size_t i = 0; argc == 3 && i < sizeof kKinds / sizeof *kKinds; i++) {
    if (strcmp(argv[2], kKinds[i].name) != 0) continue;
    natsOptions *options = NULL;
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    CHECK(natsOptions_Create(&options));
    CHECK(natsOptions_SetURL(options, argv[1]));
    CHECK(natsOptions_SetMaxReconnect(options, -1));
    CHECK(natsOptions_SetReconnectWait(options, 100));
    CHECK(natsConnection_Connect(&nc, options));
    CHECK(natsConnection_JetStream(&js, nc, NULL));
    if (strcmp(argv[2], "watch") != 0) {
      jsStreamConfig config;
      const char *subjects[] = {"s.>"};
      jsStreamConfig_Init(&config);
      config.Name = "S";
      config.Subjects = subjects;
      config.SubjectsLen = 1;
      CHECK(js_AddStream(NULL, js, &config, NULL, NULL));
      for (int n = 0; n < N; n++) put_number(js, NULL, n);
    }
    kKinds[i].run(js);
    printf("[");
    for (int n = 0; n < seen_count; n++) printf("%s%d", n == 0 ? "" : ",", seen[n]);
    printf("]\n");
    return 0;
  }
  fprintf(stderr, "usage: restart URL fetch|push|ordered|watch\n");
  return 2;
}
