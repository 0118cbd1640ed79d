/* The options of the aggregates: their names, and what each may be.
 * Must not know what they are used for. */
#include "aggregate_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_read.h"
#include "quotas.h"
#include "settings.h"
#include "utf8.h"

#define NAMES_SIZE 256

enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_BOOL, OPTION_CHOICE };

static const char *const function_errors[] = {"error", "return", NULL};
static const char *const contracts[] = {"redshift", "snowflake", "bigquery", NULL};

struct option {
  const char *name;
  unsigned int of; /* enum aggregate, one or both */
  enum option_kind kind;
  size_t place; /* in struct aggregate_options: a slice, a uint32_t, a bool or an enumeration */
  uint32_t max;
  const char *const *choices; /* numbered from 1, as in their enumeration */
};

#define BOTH (AGGREGATE_MAP | AGGREGATE_BATCH)
#define PLACE(member) offsetof(struct aggregate_options, member)

/* Sorted: the error for an unknown one names them in this order. */
static const struct option known[] = {
    {"batch_bytes", AGGREGATE_BATCH, OPTION_NUMBER, PLACE(batch_bytes), QUOTA_REQUEST_RESPONSE_MAX, NULL},
    {"batch_rows", AGGREGATE_BATCH, OPTION_NUMBER, PLACE(batch_rows), CONTRACT_BATCH_ROWS_MAX, NULL},
    {"concurrency", BOTH, OPTION_NUMBER, PLACE(concurrency), SETTINGS_CONCURRENCY_MAX, NULL},
    {"contract", AGGREGATE_BATCH, OPTION_CHOICE, PLACE(contract), 0, contracts},
    {"distinct", AGGREGATE_MAP, OPTION_BOOL, PLACE(distinct), 0, NULL},
    {"function", BOTH, OPTION_TEXT, PLACE(function), 0, NULL},
    {"function_error", BOTH, OPTION_CHOICE, PLACE(function_error), 0, function_errors},
    {"qualifier", BOTH, OPTION_TEXT, PLACE(qualifier), 0, NULL},
    {"region", BOTH, OPTION_TEXT, PLACE(region), 0, NULL},
    {"retry_service_errors", AGGREGATE_BATCH, OPTION_BOOL, PLACE(retry_service_errors), 0, NULL},
    {"role", BOTH, OPTION_TEXT, PLACE(role), 0, NULL},
    {"tenant_id", BOTH, OPTION_TEXT, PLACE(tenant_id), 0, NULL},
    {"timeout_ms", BOTH, OPTION_NUMBER, PLACE(timeout_ms), SETTINGS_TIMEOUT_MAX_MS, NULL},
};
#define KNOWN (sizeof known / sizeof known[0])

/* ---- one option ---- */

static bool set_text(const struct option *option, const struct json_member *member, void *place,
                     struct failure *failure) {
  if (member->kind != JSON_STRING || member->length == 0)
    return failure_set(failure, FAILURE_ARGUMENT, "option %s must be a string that is not empty",
                       option->name);
  *(struct slice *)place = (struct slice){.data = member->text, .length = member->length};
  return true;
}

static bool set_number(const struct option *option, const struct json_member *member, void *place,
                       struct failure *failure) {
  if (member->kind != JSON_INTEGER || member->integer < 1 || member->integer > option->max)
    return failure_set(failure, FAILURE_ARGUMENT, "option %s must be a whole number from 1 to %u",
                       option->name, option->max);
  *(uint32_t *)place = (uint32_t)member->integer;
  return true;
}

static bool set_bool(const struct option *option, const struct json_member *member, void *place,
                     struct failure *failure) {
  if (member->kind != JSON_TRUE && member->kind != JSON_FALSE)
    return failure_set(failure, FAILURE_ARGUMENT, "option %s must be true or false", option->name);
  *(bool *)place = member->kind == JSON_TRUE;
  return true;
}

/* Its names, as "a, b, c". */
static void join(char *to, size_t size, const char *const *names) {
  size_t used = 0;
  to[0] = '\0';
  for (; *names != NULL && used < size; names++)
    used += (size_t)snprintf(to + used, size - used, "%s%s", used > 0 ? ", " : "", *names);
}

static bool set_choice(const struct option *option, const struct json_member *member, void *place,
                       struct failure *failure) {
  char names[NAMES_SIZE];
  for (int i = 0; member->kind == JSON_STRING && option->choices[i] != NULL; i++) {
    if (strlen(option->choices[i]) != member->length ||
        memcmp(option->choices[i], member->text, member->length) != 0)
      continue;
    *(int *)place = i + 1;
    return true;
  }
  join(names, sizeof names, option->choices);
  return failure_set(failure, FAILURE_ARGUMENT, "option %s must be one of %s", option->name, names);
}

static bool set_option(const struct option *option, const struct json_member *member,
                       struct aggregate_options *options, struct failure *failure) {
  void *place = (char *)options + option->place;
  switch (option->kind) {
    case OPTION_TEXT:
      return set_text(option, member, place, failure);
    case OPTION_NUMBER:
      return set_number(option, member, place, failure);
    case OPTION_BOOL:
      return set_bool(option, member, place, failure);
    default:
      return set_choice(option, member, place, failure);
  }
}

/* ---- the object ---- */

struct reading {
  enum aggregate which;
  struct failure *failure;
  struct json_member members[KNOWN]; /* of a name that comes twice the last, as in MySQL */
  bool given[KNOWN];
};

static bool refuse_unknown(const struct reading *reading, const struct json_member *member) {
  const char *names[KNOWN + 1];
  char joined[NAMES_SIZE];
  size_t count = 0;
  for (size_t i = 0; i < KNOWN; i++)
    if ((known[i].of & reading->which) != 0) names[count++] = known[i].name;
  names[count] = NULL;
  join(joined, sizeof joined, names);
  int length = member->name_length < 64 ? (int)member->name_length : 64;
  return failure_set(reading->failure, FAILURE_ARGUMENT, "unknown option '%.*s'; known are %s", length,
                     member->name, joined);
}

static bool take_member(void *context, const struct json_member *member) {
  struct reading *reading = context;
  for (size_t i = 0; i < KNOWN; i++) {
    if ((known[i].of & reading->which) == 0 || strlen(known[i].name) != member->name_length ||
        memcmp(known[i].name, member->name, member->name_length) != 0)
      continue;
    reading->members[i] = *member;
    reading->given[i] = true;
    return true;
  }
  return refuse_unknown(reading, member);
}

static bool explain_fault(enum json_read read, const char *what, size_t at, struct failure *failure) {
  switch (read) {
    case JSON_READ:
      return true;
    case JSON_READ_NOT_AN_OBJECT:
      return failure_set(failure, FAILURE_ARGUMENT, "options must be a JSON object");
    case JSON_READ_TOO_DEEP:
      return failure_set(failure, FAILURE_ARGUMENT,
                         "options are not JSON that can be checked: nested too deeply");
    case JSON_READ_MALFORMED:
      return failure_set(failure, FAILURE_ARGUMENT, "options are not JSON: %s at byte %zu", what, at);
    default:
      return false; /* failure is set */
  }
}

/* text has room for length bytes more behind it, for what is decoded. */
static bool read_object(struct aggregate_options *options, enum aggregate which, struct failure *failure) {
  struct reading reading = {.which = which, .failure = failure};
  const char *what = "";
  size_t at = 0;
  enum json_read read = json_read_object(options->text, options->length, options->text + options->length,
                                         take_member, &reading, &what, &at);
  if (!explain_fault(read, what, at, failure)) return false;
  for (size_t i = 0; i < KNOWN; i++)
    if (reading.given[i] && !set_option(&known[i], &reading.members[i], options, failure)) return false;
  if (options->function.length > 0) return true;
  return failure_set(failure, FAILURE_ARGUMENT, "option function is missing");
}

static bool is_object(struct slice argument) {
  size_t at = 0;
  while (at < argument.length && argument.data[at] != '\0' && strchr(" \t\r\n", argument.data[at]) != NULL)
    at++;
  return at < argument.length && argument.data[at] == '{';
}

static bool read_anew(struct aggregate_options *options, enum aggregate which, struct slice argument,
                      struct failure *failure) {
  bool object = is_object(argument);
  if (argument.length > QUOTA_OPTIONS_MAX)
    return object
               ? failure_set(failure, FAILURE_ARGUMENT, "options too long: %zu bytes, at most %u are allowed",
                             argument.length, QUOTA_OPTIONS_MAX)
               : failure_set(failure, FAILURE_ARGUMENT,
                             "not a function name or ARN: it has %zu bytes, at most %u are allowed",
                             argument.length, QUOTA_FUNCTION_NAME_MAX);
  if (object && !utf8_is_valid(argument.data, argument.length))
    return failure_set(failure, FAILURE_ARGUMENT, "options are not JSON: they are not UTF-8");
  options->text = malloc(2 * argument.length + 1);
  if (options->text == NULL) return failure_set(failure, FAILURE_SERVER, "no memory for the options");
  if (argument.length > 0) memcpy(options->text, argument.data, argument.length);
  options->length = argument.length;
  if (object) return read_object(options, which, failure);
  options->function = (struct slice){.data = options->text, .length = argument.length};
  return true;
}

bool aggregate_options_are(const struct aggregate_options *options, struct slice argument) {
  return argument.data != NULL && options->text != NULL && argument.length == options->length &&
         memcmp(argument.data, options->text, argument.length) == 0;
}

bool aggregate_options_read(struct aggregate_options *options, enum aggregate which, struct slice argument,
                            struct failure *failure) {
  if (aggregate_options_are(options, argument)) return true;
  aggregate_options_free(options);
  if (argument.data == NULL) return failure_set(failure, FAILURE_ARGUMENT, "function is NULL");
  bool good = read_anew(options, which, argument, failure);
  if (!good) aggregate_options_free(options);
  return good;
}

void aggregate_options_free(struct aggregate_options *options) {
  free(options->text);
  *options = (struct aggregate_options){.text = NULL};
}
