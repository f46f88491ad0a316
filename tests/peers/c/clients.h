// What the parts of the nats.c program share.
#pragma once

#include <nats/nats.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Ends the program, with the place, when a call fails that should not.
void check_at(natsStatus s, const char *file, int line);
#define CHECK(call) check_at((call), __FILE__, __LINE__)

// Replies "answer".
void answer(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *closure);

// Each reads a file of logins; the exit code of the program.
int logins(const char *path);
int reconnect(const char *path);
