// Logins and a reconnect with nats.c; see clients.c for the parts that need no more than a URL.
#include "clients.h"

#include <unistd.h>

enum { kMaxWords = 16, kPatience_ms = 20000 };

// One line of the cases that every client reads: a label and words of "key=value".
typedef struct {
  char line[2048];
  const char *label;
  const char *words[kMaxWords];
  int count;
} login;

static bool read_login(login *l, FILE *file) {
  if (fgets(l->line, sizeof l->line, file) == NULL) return false;
  char *rest = NULL;
  l->count = 0;
  l->label = strtok_r(l->line, " \n", &rest);
  for (char *word; l->count < kMaxWords && (word = strtok_r(NULL, " \n", &rest)) != NULL;) l->words[l->count++] = word;
  return l->label != NULL;
}

static const char *word(const login *l, const char *key) {
  const size_t size = strlen(key);
  for (int i = 0; i < l->count; i++)
    if (strncmp(l->words[i], key, size) == 0 && l->words[i][size] == '=') return l->words[i] + size + 1;
  return NULL;
}

static natsOptions *options_of(const login *l) {
  natsOptions *o = NULL;
  CHECK(natsOptions_Create(&o));
  CHECK(natsOptions_SetURL(o, word(l, "url")));
  CHECK(natsOptions_SetTimeout(o, kPatience_ms));
  if (word(l, "user")) CHECK(natsOptions_SetUserInfo(o, word(l, "user"), word(l, "password")));
  if (word(l, "token")) CHECK(natsOptions_SetToken(o, word(l, "token")));
  if (word(l, "seedfile")) CHECK(natsOptions_SetNKeyFromSeed(o, word(l, "nkey"), word(l, "seedfile")));
  if (word(l, "creds")) CHECK(natsOptions_SetUserCredentialsFromFiles(o, word(l, "creds"), NULL));
  if (word(l, "ca")) {
    CHECK(natsOptions_SetSecure(o, true));
    CHECK(natsOptions_LoadCATrustedCertificates(o, word(l, "ca")));
  }
  if (word(l, "cert")) CHECK(natsOptions_LoadCertificatesChain(o, word(l, "cert"), word(l, "key")));
  return o;
}

// The value of one member of the server's answer, without a JSON parser.
static void print_member(const char *json, const char *name) {
  char key[32];
  snprintf(key, sizeof key, "\"%s\":\"", name);
  const char *at = strstr(json, key);
  if (at == NULL) return;
  at += strlen(key);
  printf("%.*s", (int)strcspn(at, "\""), at);
}

static void print_who_i_am(natsConnection *nc) {
  natsMsg *m = NULL;
  CHECK(natsConnection_RequestString(&m, nc, "$SYS.REQ.USER.INFO", "", kPatience_ms));
  const char *data = strstr(natsMsg_GetData(m), "\"data\"");
  print_member(data ? data : "", "user");
  printf(" of ");
  print_member(data ? data : "", "account");
  natsMsg_Destroy(m);
}

int logins(const char *path) {
  FILE *file = fopen(path, "r");
  login l;
  while (file != NULL && read_login(&l, file)) {
    natsConnection *nc = NULL;
    natsOptions *o = options_of(&l);
    CHECK(natsOptions_SetAllowReconnect(o, false));
    const natsStatus s = natsConnection_Connect(&nc, o);
    printf("%s: ", l.label);
    if (s == NATS_OK) {
      print_who_i_am(nc);
    } else if (word(&l, "refused") != NULL && strcmp(word(&l, "refused"), "tls") == 0) {
      printf("refused");  // the words depend on who notices first
    } else {
      printf("%s | %s", natsStatus_GetText(s), nats_GetLastError(NULL));
    }
    printf("\n");
    natsConnection_Destroy(nc);
    natsOptions_Destroy(o);
  }
  if (file == NULL) return 2;
  fclose(file);
  return 0;
}

static void note(natsConnection *nc, void *closure) {
  (void)nc;
  ssize_t written = write(((int *)closure)[1], "x", 1);
  (void)written;
}

static void wait_for(const int *pipe_ends) {
  char one;
  if (read(pipe_ends[0], &one, 1) != 1) exit(1);
}

static void print_next(natsSubscription *sub, const char *before) {
  natsMsg *m = NULL;
  CHECK(natsSubscription_NextMsg(&m, sub, kPatience_ms));
  printf("%s%s", before, natsMsg_GetData(m));
  natsMsg_Destroy(m);
}

static void print_answer(natsConnection *nc, const char *body, const char *before) {
  natsMsg *m = NULL;
  CHECK(natsConnection_RequestString(&m, nc, "service", body, kPatience_ms));
  printf("%s%s", before, natsMsg_GetData(m));
  natsMsg_Destroy(m);
}

// The test kills the server and starts it again when it reads "published while away".
int reconnect(const char *path) {
  FILE *file = fopen(path, "r");
  login l;
  if (file == NULL || !read_login(&l, file)) return 2;
  fclose(file);
  int gone[2], back[2];
  if (pipe(gone) != 0 || pipe(back) != 0) return 1;
  natsConnection *nc = NULL;
  natsSubscription *plain = NULL, *crew = NULL, *limited = NULL, *service = NULL;
  natsOptions *o = options_of(&l);
  CHECK(natsOptions_SetMaxReconnect(o, 100000));
  CHECK(natsOptions_SetReconnectWait(o, 50));
  CHECK(natsOptions_SetReconnectJitter(o, 0, 0));
  CHECK(natsOptions_SetDisconnectedCB(o, note, gone));
  CHECK(natsOptions_SetReconnectedCB(o, note, back));
  CHECK(natsConnection_Connect(&nc, o));
  CHECK(natsConnection_SubscribeSync(&plain, nc, "still.*"));
  CHECK(natsConnection_QueueSubscribeSync(&crew, nc, "work", "crew"));
  CHECK(natsConnection_SubscribeSync(&limited, nc, "limited"));
  CHECK(natsSubscription_AutoUnsubscribe(limited, 3));
  CHECK(natsConnection_Subscribe(&service, nc, "service", answer, NULL));
  CHECK(natsConnection_PublishString(nc, "limited", "1"));
  printf("before: ");
  print_who_i_am(nc);
  print_answer(nc, "ask", " | ");
  print_next(limited, " | ");
  printf("\nready\n");
  wait_for(gone);
  printf("disconnected\npublished while away: %s\n",
         natsStatus_GetText(natsConnection_PublishString(nc, "still.away", "kept")));
  wait_for(back);
  print_next(plain, "kept: ");
  CHECK(natsConnection_PublishString(nc, "still.here", "x"));
  CHECK(natsConnection_PublishString(nc, "work", "y"));
  for (const char *body = "234"; *body != '\0'; body++) CHECK(natsConnection_Publish(nc, "limited", body, 1));
  print_next(plain, "\nagain: ");
  print_next(crew, " | ");
  print_answer(nc, "again", " | ");
  printf(" | ");
  print_who_i_am(nc);
  print_next(limited, "\nlimited: ");
  print_next(limited, " | ");
  natsMsg *m = NULL;
  printf(" | %s\n", natsStatus_GetText(natsSubscription_NextMsg(&m, limited, 50)));
  natsSubscription_Destroy(plain);
  natsSubscription_Destroy(crew);
  natsSubscription_Destroy(limited);
  natsSubscription_Destroy(service);
  natsConnection_Destroy(nc);
  natsOptions_Destroy(o);
  return 0;
}
