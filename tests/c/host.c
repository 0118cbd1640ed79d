/* A program that is no mysqld: loads lambda_udf.so, calls its functions as mysqld does, and unloads it.
 * Takes commands from standard input, answers each with one line; knows nothing of sockets.
 *
 * host LIBRARY [SERVICE]: SERVICE is missing in the registry. Commands and answers, fields between tabs:
 *   call FUNCTION ARG…              -> ok MS LENGTH HEX… | error MS ERRNO FLAGS HEX-TEXT | refused HEX-TEXT
 *   rows FUNCTION COLLATION COUNT ARG… -> rows RESULT…   (a result in hex, or ! and its error in hex; row n
 *     has id n)
 *   map COLLATION COUNT ARG ARG     -> as call     (lambda_map over so many rows; ARG as of rows)
 *   batch COLLATION COUNT ARG ARG   -> as call     (the same of lambda_batch)
 *   hint CALLS THREADS -> hinted MS SENT   (lambda_outbox_hint in statements of one row; datagrams that left)
 *   load FUNCTION NAME ARG CALLS THREADS ROWS -> loaded MS FAILED HEX-TEXT-OF-A-FAILURE
 *   interrupt STATUS MS             -> done        (the next call's session gets STATUS after MS; 0: before)
 *   client KIND MS ACT              -> done        (the next call's session has a client of this
 * enum_vio_type on a socket, which after MS does "close", "half" (close), "send" or "kill") super 0|1, lost
 * 0|1, trace TEXT -> done (TEXT: the next calls' query attribute traceparent, empty: NULL, -: none) unload ->
 * unloaded DESCRIPTORS HELD MAPPED LEAKED (each 0 if all is well)
 *
 * ARG: "-" is NULL, "*N" a JSON string of N bytes, otherwise hex. Of rows: hex, or "PREFIX,SUFFIX,GROWTH" for
 * CONCAT('prefix', text, id, 'suffix'), see expression.h. Ends with standard input. */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sanitizer/lsan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "expression.h"
#include "fake_mysqld.h"

#define ARGUMENTS_MAX FAKE_ARGUMENTS_MAX
#define FIELDS_MAX 8
#define RESULT_SIZE 255 /* of the buffer that mysqld hands to a row function */
#define SHOWN_MAX 512
#define UTF8MB4 "utf8mb4_0900_ai_ci"

struct text {
  char *bytes; /* NULL: SQL NULL */
  unsigned long length;
};

struct function {
  bool (*init)(UDF_INIT *, UDF_ARGS *, char *);
  char *(*row)(UDF_INIT *, UDF_ARGS *, char *, unsigned long *, unsigned char *, unsigned char *);
  void (*deinit)(UDF_INIT *);
};

enum outcome { OUTCOME_OK, OUTCOME_ERROR, OUTCOME_REFUSED };

static void *library;
static bool next_lost;
static bool next_super = true;
static char next_traceparent[128] = "-";
static uint16_t interrupt_status;
static long interrupt_ms;
static int client_kind;
static long client_ms;
static char client_act[8];

static void stop_here(const char *why) {
  (void)fprintf(stderr, "host: %s\n", why);
  exit(2);
}

static int64_t clock_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void *symbol(const char *name, const char *suffix) {
  char full[128];
  (void)snprintf(full, sizeof full, "%s%s", name, suffix);
  void *found = dlsym(library, full);
  if (found == NULL) stop_here(dlerror());
  return found;
}

/* Data and function pointers are of one size here; memcpy is the way that ISO C leaves. */
static struct function look_up(const char *name) {
  struct function function;
  void *entry[] = {symbol(name, "_init"), symbol(name, ""), symbol(name, "_deinit")};
  memcpy(&function.init, &entry[0], sizeof entry[0]);
  memcpy(&function.row, &entry[1], sizeof entry[1]);
  memcpy(&function.deinit, &entry[2], sizeof entry[2]);
  return function;
}

/* ---- one statement ---- */

struct statement {
  struct function function;
  enum Item_result types[ARGUMENTS_MAX];
  char *values[ARGUMENTS_MAX];
  unsigned long lengths[ARGUMENTS_MAX];
  char *attributes[ARGUMENTS_MAX];
  unsigned long attribute_lengths[ARGUMENTS_MAX];
  struct fake_arguments extension;
  UDF_INIT init;
  UDF_ARGS args;
  char refusal[MYSQL_ERRMSG_SIZE];
  char buffer[RESULT_SIZE];
  char *result;
  unsigned long result_length;
};

/* Init sees no values, as where none is constant, and this type of each; false: it refused. */
static bool statement_start_as(enum Item_result type, struct statement *statement, struct function function,
                               unsigned int count, const char *collation) {
  memset(statement, 0, sizeof *statement);
  statement->function = function;
  for (int i = 0; i < ARGUMENTS_MAX; i++) statement->types[i] = type;
  for (int i = 0; i < ARGUMENTS_MAX; i++) statement->extension.collation[i] = collation;
  statement->args = (UDF_ARGS){.arg_count = count,
                               .arg_type = statement->types,
                               .args = statement->values,
                               .lengths = statement->lengths,
                               .attributes = statement->attributes,
                               .attribute_lengths = statement->attribute_lengths,
                               .extension = &statement->extension};
  return !function.init(&statement->init, &statement->args, statement->refusal);
}

/* Of numbers: whoever wants texts must say so. */
static bool statement_start(struct statement *statement, struct function function, unsigned int count,
                            const char *collation) {
  return statement_start_as(REAL_RESULT, statement, function, count, collation);
}

/* False: an error was raised, and the function said so in both ways. */
static bool statement_evaluate(struct statement *statement, struct fake_session *session) {
  unsigned char is_null = 0, error = 0;
  session->times_raised = 0;
  statement->result_length = RESULT_SIZE;
  statement->result = statement->function.row(&statement->init, &statement->args, statement->buffer,
                                              &statement->result_length, &is_null, &error);
  bool failed = statement->result == NULL || is_null != 0;
  if (failed != (error != 0) || session->times_raised != (failed ? 1 : 0))
    stop_here("result, error flag and raised error contradict each other");
  /* String::c_ptr reads it. */
  if (!failed && statement->result != statement->buffer && statement->result[statement->result_length] != 0)
    stop_here("no NUL behind the result");
  return !failed;
}

static bool statement_row(struct statement *statement, const struct text *arguments,
                          struct fake_session *session) {
  for (unsigned int i = 0; i < statement->args.arg_count; i++) {
    statement->values[i] = arguments[i].bytes;
    statement->lengths[i] = arguments[i].length;
  }
  return statement_evaluate(statement, session);
}

static void statement_end(struct statement *statement) { statement->function.deinit(&statement->init); }

/* ---- commands ---- */

static void print_hex(const char *bytes, size_t length) {
  for (size_t i = 0; i < length && i < SHOWN_MAX; i++) (void)printf("%02x", (unsigned char)bytes[i]);
}

static struct text read_argument(const char *field) {
  struct text text = {.bytes = NULL};
  if (strcmp(field, "-") == 0) return text;
  bool filler = field[0] == '*';
  text.length = filler ? strtoul(field + 1, NULL, 10) : strlen(field) / 2;
  text.bytes = malloc(text.length + 1); /* exact, so that a byte too many is seen */
  if (text.bytes == NULL) stop_here("no memory");
  if (filler && text.length < 2) stop_here("a JSON string has at least two bytes");
  for (size_t i = 0; i < text.length; i++) {
    char digits[] = {'0', '0', '\0'};
    if (!filler) memcpy(digits, field + 2 * i, 2);
    text.bytes[i] = filler ? (i == 0 || i + 1 == text.length ? '"' : 'x') : (char)strtoul(digits, NULL, 16);
  }
  text.bytes[text.length] = '!'; /* not NUL: only the length counts */
  return text;
}

static void sleep_ms(long milliseconds) {
  struct timespec wait = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
  nanosleep(&wait, NULL);
}

static void *interrupt(void *session) {
  sleep_ms(interrupt_ms);
  atomic_store(&((struct fake_session *)session)->status, interrupt_status);
  return NULL;
}

struct client {
  struct fake_session *session;
  int theirs; /* the client's end */
  pthread_t thread;
};

static void *act(void *arg) {
  struct client *client = arg;
  sleep_ms(client_ms);
  if (strcmp(client_act, "close") == 0) {
    close(client->theirs);
    client->theirs = -1;
  } else if (strcmp(client_act, "half") == 0) {
    (void)shutdown(client->theirs, SHUT_WR);
  } else if (strcmp(client_act, "send") == 0) {
    if (send(client->theirs, "ahead", 5, MSG_NOSIGNAL) != 5) stop_here("the client cannot send");
  } else if (strcmp(client_act, "kill") == 0) { /* THD::awake(): first the state, then the socket */
    atomic_store(&client->session->status, STATUS_SESSION_KILLED);
    (void)shutdown(client->session->client, SHUT_RDWR);
    close(client->session->client);
    client->session->client = -1;
  }
  return NULL;
}

static void start_client(struct client *client, struct fake_session *session) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) stop_here("no socket");
  *client = (struct client){.session = session, .theirs = ends[1]};
  session->vio_type = client_kind;
  session->client = ends[0];
  if (pthread_create(&client->thread, NULL, act, client) != 0) stop_here("no thread");
}

static void end_client(struct client *client) {
  pthread_join(client->thread, NULL);
  if (client->theirs >= 0) close(client->theirs);
  if (client->session->client >= 0) close(client->session->client);
  client_act[0] = '\0';
}

static void start_session(struct fake_session *session) {
  fake_session_start(session);
  session->super = next_super;
  session->lost = next_lost;
  session->traceparent = strcmp(next_traceparent, "-") == 0 ? NULL : next_traceparent;
}

/* A session, and what happens to it meanwhile. */
struct visit {
  struct fake_session session;
  struct client client;
  pthread_t interrupter;
  bool has_client, interrupted;
  int64_t began;
};

static void visit_start(struct visit *visit) {
  visit->began = clock_ms();
  visit->has_client = client_act[0] != '\0';
  start_session(&visit->session);
  if (visit->has_client) start_client(&visit->client, &visit->session);
  visit->interrupted = interrupt_status != 0 && interrupt_ms > 0;
  if (interrupt_status != 0 && !visit->interrupted) atomic_store(&visit->session.status, interrupt_status);
  if (visit->interrupted && pthread_create(&visit->interrupter, NULL, interrupt, &visit->session) != 0)
    stop_here("no thread");
}

static void visit_end(struct visit *visit) {
  if (visit->interrupted) pthread_join(visit->interrupter, NULL);
  if (visit->has_client) end_client(&visit->client);
  interrupt_status = 0;
}

static void print_outcome(const struct visit *visit, const struct statement *statement, bool good) {
  long ms = (long)(clock_ms() - visit->began);
  if (good) {
    (void)printf("ok\t%ld\t%lu\t", ms, statement->result_length);
    print_hex(statement->result, statement->result_length);
  } else {
    (void)printf("error\t%ld\t%d\t%d\t", ms, visit->session.raised, visit->session.raised_flags);
    print_hex(visit->session.raised_text, strlen(visit->session.raised_text));
  }
}

static void print_refusal(const struct statement *statement) {
  (void)printf("refused\t");
  print_hex(statement->refusal, strlen(statement->refusal));
}

static void command_call(char *fields[], int count) {
  struct text arguments[ARGUMENTS_MAX];
  struct statement statement;
  struct visit visit;
  visit_start(&visit);
  for (int i = 2; i < count; i++) arguments[i - 2] = read_argument(fields[i]);
  if (!statement_start(&statement, look_up(fields[1]), (unsigned int)(count - 2), UTF8MB4)) {
    print_refusal(&statement);
  } else {
    print_outcome(&visit, &statement, statement_row(&statement, arguments, &visit.session));
    statement_end(&statement);
  }
  visit_end(&visit);
  for (int i = 2; i < count; i++) free(arguments[i - 2].bytes);
}

static struct string read_hex(const char *field, size_t digits) {
  struct string string = {.length = digits / 2, .room = digits / 2, .owned = true};
  string.bytes = malloc(string.length + 1);
  if (string.bytes == NULL) stop_here("no memory");
  for (size_t i = 0; i < string.length; i++) {
    char two[] = {field[2 * i], field[2 * i + 1], '\0'};
    string.bytes[i] = (char)strtoul(two, NULL, 16);
  }
  return string;
}

static void read_expression(struct expression *expression, const char *field, const char *collation) {
  const char *suffix = strchr(field, ',');
  *expression = (struct expression){.collation = collation};
  expression->prefix = read_hex(field, strcspn(field, ","));
  if (suffix == NULL) return;
  expression->computed = true;
  expression->suffix = read_hex(suffix + 1, strcspn(suffix + 1, ","));
  const char *growth = strrchr(field, ',');
  expression->growth = strtoul(growth + 1, NULL, 10);
}

static void command_rows(char *fields[], int count) {
  struct expression expressions[ARGUMENTS_MAX];
  struct handed handed[ARGUMENTS_MAX];
  struct fake_session session;
  struct statement statement;
  bool copies = fake_registry_has("mysql_system_variable_reader"); /* as 9.x; 8.x have it not */
  unsigned int arguments = (unsigned int)(count - 4);
  memset(handed, 0, sizeof handed);
  start_session(&session);
  for (unsigned int i = 0; i < arguments; i++) {
    read_expression(&expressions[i], fields[4 + i], fields[2]);
    handed[i].expression = &expressions[i];
  }
  if (!statement_start(&statement, look_up(fields[1]), arguments, fields[2])) stop_here(statement.refusal);
  (void)printf("rows");
  for (long id = 1; id <= strtol(fields[3], NULL, 10); id++) {
    for (unsigned int i = 0; i < arguments; i++)
      hand_over(&handed[i], &statement.args, i, statement.extension.collation[i], id, copies);
    if (statement_evaluate(&statement, &session)) {
      (void)printf("\t");
      print_hex(statement.result, statement.result_length);
    } else {
      (void)printf("\t!");
      print_hex(session.raised_text, strlen(session.raised_text));
    }
  }
  statement_end(&statement);
  for (unsigned int i = 0; i < arguments; i++) handed_free(&handed[i]);
}

/* ---- an aggregate ---- */

struct aggregate {
  void (*clear)(UDF_INIT *, unsigned char *, unsigned char *);
  void (*add)(UDF_INIT *, UDF_ARGS *, unsigned char *, unsigned char *);
};

/* One group. As mysqld: after an error nothing more is asked. */
static bool run_group(struct statement *statement, const struct aggregate *aggregate, struct handed *handed,
                      long rows, struct fake_session *session) {
  bool copies = fake_registry_has("mysql_system_variable_reader");
  unsigned char is_null = 0, error = 0;
  session->times_raised = 0;
  aggregate->clear(&statement->init, &is_null, &error);
  for (long id = 1; id <= rows && error == 0; id++) {
    for (unsigned int i = 0; i < statement->args.arg_count; i++)
      hand_over(&handed[i], &statement->args, i, statement->extension.collation[i], id, copies);
    aggregate->add(&statement->init, &statement->args, &is_null, &error);
  }
  if ((error != 0) != (session->times_raised == 1))
    stop_here("error flag and raised error contradict each other");
  return error == 0 && statement_evaluate(statement, session);
}

static void command_aggregate(const char *name, char *fields[], int count) {
  struct expression expressions[ARGUMENTS_MAX];
  struct handed handed[ARGUMENTS_MAX];
  struct statement statement;
  struct aggregate aggregate;
  struct visit visit;
  unsigned int arguments = (unsigned int)(count - 3);
  void *entry[] = {symbol(name, "_clear"), symbol(name, "_add")};
  memcpy(&aggregate.clear, &entry[0], sizeof entry[0]);
  memcpy(&aggregate.add, &entry[1], sizeof entry[1]);
  memset(handed, 0, sizeof handed);
  for (unsigned int i = 0; i < arguments; i++) {
    read_expression(&expressions[i], fields[3 + i], fields[1]);
    handed[i].expression = &expressions[i];
  }
  visit_start(&visit);
  if (!statement_start_as(STRING_RESULT, &statement, look_up(name), arguments, fields[1])) {
    print_refusal(&statement);
  } else {
    long rows = strtol(fields[2], NULL, 10);
    print_outcome(&visit, &statement, run_group(&statement, &aggregate, handed, rows, &visit.session));
    statement_end(&statement);
  }
  visit_end(&visit);
  for (unsigned int i = 0; i < arguments; i++) handed_free(&handed[i]);
}

struct load {
  struct function function;
  struct text arguments[2];
  long calls, rows; /* of one thread; rows of one statement */
  long failed;
  char failure[RAISED_TEXT_SIZE];
};

/* The payload comes back as it is: the function echoes. */
static void *run_load(void *arg) {
  struct load *load = arg;
  struct fake_session session;
  fake_session_start(&session);
  for (long done = 0; done < load->calls;) {
    struct statement statement;
    if (!statement_start(&statement, load->function, 2, UTF8MB4)) stop_here(statement.refusal);
    for (long row = 0; row < load->rows && done < load->calls; row++, done++) {
      bool good = statement_row(&statement, load->arguments, &session);
      bool same = good && statement.result_length == load->arguments[1].length &&
                  memcmp(statement.result, load->arguments[1].bytes, statement.result_length) == 0;
      if (same) continue;
      load->failed++;
      memcpy(load->failure, good ? "another result" : session.raised_text, good ? 15 : RAISED_TEXT_SIZE);
    }
    statement_end(&statement);
  }
  return NULL;
}

static void command_load(char *fields[]) {
  enum { THREADS_MAX = 64 };
  static struct load loads[THREADS_MAX];
  pthread_t threads[THREADS_MAX];
  long failed = 0, calls = strtol(fields[4], NULL, 10), count = strtol(fields[5], NULL, 10);
  const char *failure = "";
  struct load load = {.function = look_up(fields[1]), .rows = strtol(fields[6], NULL, 10)};
  int64_t began = clock_ms();
  if (count < 1 || count > THREADS_MAX) stop_here("too many threads");
  for (int i = 0; i < 2; i++) load.arguments[i] = read_argument(fields[2 + i]);
  load.calls = calls / count;
  for (long i = 0; i < count; i++) {
    loads[i] = load;
    if (pthread_create(&threads[i], NULL, run_load, &loads[i]) != 0) stop_here("no thread");
  }
  for (long i = 0; i < count; i++) {
    pthread_join(threads[i], NULL);
    failed += loads[i].failed;
    if (loads[i].failed > 0) failure = loads[i].failure;
  }
  (void)printf("loaded\t%ld\t%ld\t", (long)(clock_ms() - began), failed);
  print_hex(failure, strlen(failure));
  for (int i = 0; i < 2; i++) free(load.arguments[i].bytes);
}

/* ---- lambda_outbox_hint ---- */

struct hints {
  bool (*init)(UDF_INIT *, UDF_ARGS *, char *);
  long long (*row)(UDF_INIT *, UDF_ARGS *, unsigned char *, unsigned char *);
  long calls, sent; /* of one thread */
};

static void *run_hints(void *arg) {
  struct hints *hints = arg;
  struct fake_session session;
  fake_session_start(&session);
  for (long i = 0; i < hints->calls; i++) {
    UDF_INIT init = {.const_item = true, .maybe_null = true};
    UDF_ARGS args = {.arg_count = 0};
    char refusal[MYSQL_ERRMSG_SIZE];
    unsigned char is_null = 1, error = 1;
    if (hints->init(&init, &args, refusal)) stop_here(refusal);
    if (init.const_item || init.maybe_null) stop_here("the hint counts as constant, or as NULL");
    hints->sent += hints->row(&init, &args, &is_null, &error);
    if (is_null != 0 || error != 0 || session.times_raised != 0) stop_here("a hint failed");
  }
  return NULL;
}

static void command_hint(char *fields[]) {
  enum { THREADS_MAX = 16 };
  struct hints all[THREADS_MAX];
  pthread_t threads[THREADS_MAX];
  long sent = 0, count = strtol(fields[2], NULL, 10);
  if (count < 1 || count > THREADS_MAX) stop_here("too many threads");
  struct hints hints = {.calls = strtol(fields[1], NULL, 10) / count};
  void *entry[] = {symbol("lambda_outbox_hint", "_init"), symbol("lambda_outbox_hint", "")};
  int64_t began = clock_ms();
  memcpy(&hints.init, &entry[0], sizeof entry[0]);
  memcpy(&hints.row, &entry[1], sizeof entry[1]);
  for (long i = 0; i < count; i++) {
    all[i] = hints;
    if (pthread_create(&threads[i], NULL, run_hints, &all[i]) != 0) stop_here("no thread");
  }
  for (long i = 0; i < count; i++) {
    pthread_join(threads[i], NULL);
    sent += all[i].sent;
  }
  (void)printf("hinted\t%ld\t%ld", (long)(clock_ms() - began), sent);
}

static int open_descriptors(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  if (directory == NULL) stop_here("/proc/self/fd cannot be read");
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

static bool is_mapped(const char *name) {
  char line[4096];
  bool found = false;
  FILE *maps = fopen("/proc/self/maps", "re");
  if (maps == NULL) stop_here("/proc/self/maps cannot be read");
  while (fgets(line, sizeof line, maps) != NULL) found = found || strstr(line, name) != NULL;
  (void)fclose(maps);
  return found;
}

/* Leaks are looked for twice: while the reports can still name functions of the library, and after,
 * when what its variables pointed to is lost as well. */
static bool command_unload(int descriptors_before) {
  int leaked = __lsan_do_recoverable_leak_check();
  if (dlclose(library) != 0) stop_here(dlerror());
  library = NULL;
  leaked |= __lsan_do_recoverable_leak_check();
  int descriptors = open_descriptors() - descriptors_before;
  bool mapped = is_mapped("lambda_udf.so");
  (void)printf("unloaded\t%d\t%d\t%d\t%d", descriptors, fake_held(), mapped, leaked);
  return descriptors == 0 && fake_held() == 0 && !mapped && leaked == 0;
}

static int split(char *line, char *fields[]) {
  int count = 0;
  line[strcspn(line, "\n")] = '\0';
  for (char *field = strsep(&line, "\t"); field != NULL && count < FIELDS_MAX; field = strsep(&line, "\t"))
    fields[count++] = field;
  return count;
}

/* What the next calls find; false: no such command. */
static bool command_setting(char *fields[], int count) {
  if (strcmp(fields[0], "interrupt") == 0 && count == 3) {
    interrupt_status = (uint16_t)strtoul(fields[1], NULL, 10);
    interrupt_ms = strtol(fields[2], NULL, 10);
  } else if (strcmp(fields[0], "client") == 0 && count == 4) {
    client_kind = (int)strtol(fields[1], NULL, 10);
    client_ms = strtol(fields[2], NULL, 10);
    (void)snprintf(client_act, sizeof client_act, "%s", fields[3]);
  } else if (strcmp(fields[0], "super") == 0 && count == 2) {
    next_super = fields[1][0] == '1';
  } else if (strcmp(fields[0], "lost") == 0 && count == 2) {
    next_lost = fields[1][0] == '1';
  } else if (strcmp(fields[0], "trace") == 0 && count == 2) {
    (void)snprintf(next_traceparent, sizeof next_traceparent, "%s", fields[1]);
  } else {
    return false;
  }
  (void)printf("done");
  return true;
}

/* False: something was left behind. */
static bool run_command(char *fields[], int count, int descriptors) {
  if (strcmp(fields[0], "call") == 0 && count >= 2 && count <= 2 + ARGUMENTS_MAX)
    command_call(fields, count);
  else if (strcmp(fields[0], "rows") == 0 && count >= 5 && count <= 4 + ARGUMENTS_MAX)
    command_rows(fields, count);
  else if (strcmp(fields[0], "map") == 0 && count == 5)
    command_aggregate("lambda_map", fields, count);
  else if (strcmp(fields[0], "batch") == 0 && count == 5)
    command_aggregate("lambda_batch", fields, count);
  else if (strcmp(fields[0], "load") == 0 && count == 7)
    command_load(fields);
  else if (strcmp(fields[0], "hint") == 0 && count == 3)
    command_hint(fields);
  else if (strcmp(fields[0], "unload") == 0)
    return command_unload(descriptors);
  else if (!command_setting(fields, count))
    stop_here("unknown command");
  return true;
}

int main(int argc, char **argv) {
  char *line = NULL, *fields[FIELDS_MAX];
  size_t size = 0;
  bool clean = true;
  if (argc < 2) stop_here("usage: host LIBRARY [SERVICE]");
  if (argc > 2) fake_registry_remove(argv[2]);
  int descriptors = open_descriptors();
  library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) stop_here(dlerror());
  while (getline(&line, &size, stdin) > 0) {
    int count = split(line, fields);
    clean = run_command(fields, count, descriptors) && clean;
    (void)printf("\n");
    (void)fflush(stdout);
  }
  free(line);
  return clean ? 0 : 1;
}
