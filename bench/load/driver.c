/* The sessions, the barrier, the clock and the lines of a load program.
 * Must not know what is called. */
#include "driver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#define FIELDS_MAX 9
#define NUMBER_MARK "@@@@"
#define STACK_SIZE ((size_t)256 * 1024)

struct session {
  void *handle;
  pthread_t thread;
  struct run *run;
  struct bytes request, expected;
  uint64_t *latencies; /* nanoseconds, one for each call */
  size_t calls, room;
  uint64_t ended;
  struct bytes answer; /* the last one */
  char failure[FAILURE_SIZE];
};

/* One `prepare` and its `go`. */
struct run {
  const struct target *target;
  size_t calls, warmup; /* per session */
  double seconds;
  pthread_barrier_t warm, start;
  uint64_t began;
  atomic_bool failed; /* the first failure ends the run */
};

static void stop_here(const char *why) {
  (void)fprintf(stderr, "load: %s\n", why);
  exit(2);
}

static uint64_t clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *allocate(void *old, size_t size) {
  void *memory = realloc(old, size);
  if (memory == NULL) stop_here("no memory");
  return memory;
}

/* ---- one session ---- */

static bool fail(struct session *session) {
  atomic_store(&session->run->failed, true);
  return false;
}

/* One call, timed until its answer is whole; comparing comes after. */
static bool call(struct session *session, uint64_t *latency) {
  uint64_t began = clock_ns();
  if (!session->run->target->call(session->handle, session->request, &session->answer, session->failure))
    return fail(session);
  *latency = clock_ns() - began;
  const struct bytes *answer = &session->answer, *expected = &session->expected;
  if (answer->length == expected->length && memcmp(answer->data, expected->data, answer->length) == 0)
    return true;
  (void)snprintf(session->failure, FAILURE_SIZE,
                 "wrong answer: %zu bytes, expected %zu: '%.100s' instead of '%.100s'", answer->length,
                 expected->length, answer->length > 0 ? answer->data : "", expected->data);
  return fail(session);
}

static void record(struct session *session, uint64_t latency) {
  if (session->calls == session->room) {
    session->room = session->room > 0 ? session->room * 2 : 1024;
    session->latencies = allocate(session->latencies, session->room * sizeof *session->latencies);
  }
  session->latencies[session->calls++] = latency;
}

static bool is_over(const struct session *session) {
  const struct run *run = session->run;
  if (atomic_load(&run->failed)) return true;
  if (run->calls > 0) return session->calls >= run->calls;
  return (double)(clock_ns() - run->began) >= run->seconds * 1e9;
}

static void *run_session(void *arg) {
  struct session *session = arg;
  struct run *run = session->run;
  uint64_t latency = 0;
  for (size_t i = 0; i < run->warmup && !atomic_load(&run->failed); i++) (void)call(session, &latency);
  pthread_barrier_wait(&run->warm);
  pthread_barrier_wait(&run->start);
  while (!is_over(session))
    if (call(session, &latency)) record(session, latency);
  session->ended = clock_ns();
  return NULL;
}

/* ---- a run ---- */

static struct bytes read_file(const char *path) {
  FILE *file = fopen(path, "rbe");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) stop_here(path);
  long size = ftell(file);
  if (size < 0 || fseek(file, 0, SEEK_SET) != 0) stop_here(path);
  char *data = allocate(NULL, (size_t)size + 1);
  if (fread(data, 1, (size_t)size, file) != (size_t)size) stop_here(path);
  data[size] = '\0';
  (void)fclose(file);
  return (struct bytes){data, (size_t)size};
}

/* A copy of its own for this session, with its number in it. */
static struct bytes with_number(struct bytes text, size_t number) {
  char *copy = allocate(NULL, text.length + 1), digits[5];
  memcpy(copy, text.data, text.length + 1);
  (void)snprintf(digits, sizeof digits, "%04zu", number % 10000);
  for (char *mark = strstr(copy, NUMBER_MARK); mark != NULL; mark = strstr(mark, NUMBER_MARK))
    memcpy(mark, digits, 4);
  return (struct bytes){copy, text.length};
}

static void prepare(struct run *run, struct session *sessions, size_t count, char *fields[]) {
  struct bytes request = read_file(fields[7]), expected = read_file(fields[8]);
  pthread_attr_t attributes;
  run->calls = strtoul(fields[2], NULL, 10);
  run->seconds = strtod(fields[3], NULL);
  run->warmup = strtoul(fields[4], NULL, 10);
  atomic_store(&run->failed, false);
  pthread_barrier_init(&run->warm, NULL, (unsigned)count + 1);
  pthread_barrier_init(&run->start, NULL, (unsigned)count + 1);
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_SIZE);
  for (size_t i = 0; i < count; i++) {
    struct session *session = &sessions[i];
    session->run = run;
    session->calls = 0;
    session->failure[0] = '\0';
    session->request = with_number(request, i);
    session->expected = with_number(expected, i);
    if (pthread_create(&session->thread, &attributes, run_session, session) != 0) stop_here("no thread");
  }
  pthread_attr_destroy(&attributes);
  free((char *)request.data);
  free((char *)expected.data);
  pthread_barrier_wait(&run->warm);
}

static int ascending(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return (a > b) - (a < b);
}

static void print_json_text(const char *text) {
  (void)putchar('"');
  for (; *text != '\0'; text++) {
    if ((unsigned char)*text < 0x20)
      (void)printf("\\u%04x", (unsigned char)*text);
    else
      (void)printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
  }
  (void)putchar('"');
}

/* The nearest-rank percentile, in microseconds. */
static double percentile(const uint64_t *sorted, size_t count, double share) {
  size_t rank = (size_t)(share * (double)count + 0.9999999);
  return count == 0 ? 0 : (double)sorted[rank > 0 ? rank - 1 : 0] / 1000;
}

static void report(const struct session *sessions, size_t count, uint64_t began) {
  size_t calls = 0, failed = 0, done = 0;
  uint64_t ended = began, *all = NULL;
  const char *failure = "";
  uLong checksum = crc32(0, NULL, 0); /* of every session's last answer, in the order of sessions */
  for (size_t i = 0; i < count; i++) calls += sessions[i].calls;
  all = allocate(NULL, (calls + 1) * sizeof *all);
  for (size_t i = 0; i < count; i++) {
    const struct session *session = &sessions[i];
    if (session->calls > 0) memcpy(all + done, session->latencies, session->calls * sizeof *all);
    done += session->calls;
    if (session->ended > ended) ended = session->ended;
    if (session->failure[0] != '\0') {
      failed++;
      failure = session->failure;
    } else {
      checksum = crc32_z(checksum, (const Bytef *)session->answer.data, session->answer.length);
    }
  }
  qsort(all, calls, sizeof *all, ascending);
  (void)printf("{\"calls\": %zu, \"failed\": %zu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p90_us\": %.1f, ",
               calls, failed, (double)(ended - began) / 1e9, percentile(all, calls, 0.5),
               percentile(all, calls, 0.9));
  (void)printf("\"p99_us\": %.1f, \"max_us\": %.1f, \"answers\": \"%08lx\", \"failure\": ",
               percentile(all, calls, 0.99), percentile(all, calls, 1), checksum);
  print_json_text(failure);
  (void)printf("}\n");
  free(all);
}

static void go(struct run *run, struct session *sessions, size_t count) {
  run->began = clock_ns(); /* before the barrier: what a late thread waits counts */
  pthread_barrier_wait(&run->start);
  for (size_t i = 0; i < count; i++) pthread_join(sessions[i].thread, NULL);
  report(sessions, count, run->began);
  for (size_t i = 0; i < count; i++) {
    free((char *)sessions[i].request.data);
    free((char *)sessions[i].expected.data);
  }
  pthread_barrier_destroy(&run->warm);
  pthread_barrier_destroy(&run->start);
}

static int split(char *line, char *fields[]) {
  int count = 0;
  line[strcspn(line, "\n")] = '\0';
  for (char *field = strsep(&line, "\t"); field != NULL && count < FIELDS_MAX; field = strsep(&line, "\t"))
    fields[count++] = field;
  return count;
}

static void serve(struct run *run, struct session *sessions, size_t room) {
  char *line = NULL, *fields[FIELDS_MAX];
  size_t size = 0, count = 0; /* sessions that wait for `go` */
  (void)printf("connected\n");
  (void)fflush(stdout);
  while (getline(&line, &size, stdin) > 0) {
    int have = split(line, fields);
    if (count == 0 && have == FIELDS_MAX && strcmp(fields[0], "prepare") == 0) {
      count = strtoul(fields[1], NULL, 10);
      if (count < 1 || count > room) stop_here("more sessions than connected");
      prepare(run, sessions, count, fields);
      (void)printf("ready\n");
    } else if (count > 0 && strcmp(fields[0], "go") == 0) {
      go(run, sessions, count);
      count = 0;
    } else {
      stop_here("unknown command");
    }
    (void)fflush(stdout);
  }
  free(line);
  if (count > 0) exit(1); /* its threads wait for a `go` that does not come */
}

int driver_main(int argc, char **argv, const struct target *target) {
  if (argc != 3) stop_here("usage: PROGRAM WHERE SESSIONS");
  struct run run = {.target = target};
  size_t room = strtoul(argv[2], NULL, 10);
  struct session *sessions = calloc(room > 0 ? room : 1, sizeof *sessions);
  if (sessions == NULL) stop_here("no memory");
  for (size_t i = 0; i < room; i++) {
    sessions[i].handle = target->open(argv[1], sessions[i].failure);
    if (sessions[i].handle == NULL) stop_here(sessions[i].failure);
  }
  serve(&run, sessions, room);
  for (size_t i = 0; i < room; i++) {
    target->close(sessions[i].handle);
    free(sessions[i].latencies);
  }
  free(sessions);
  return 0;
}
