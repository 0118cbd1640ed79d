/* A scanner for the first words of a statement, as far as EXPLAIN's options go.
 * Must not need the whole grammar: what it does not know is no EXPLAIN. */
#include "explain.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

struct scanner {
  const char *at, *end;
  bool doubt; /* text that some versions of the server execute and others do not */
};

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         (unsigned char)c >= 0x80;
}

static bool begins(const struct scanner *scanner, const char *with) {
  size_t length = strlen(with);
  return (size_t)(scanner->end - scanner->at) >= length && memcmp(scanner->at, with, length) == 0;
}

/* Behind the next occurrence of what; at the end where there is none. */
static void skip_past(struct scanner *scanner, const char *what) {
  size_t left = (size_t)(scanner->end - scanner->at);
  const char *found = left > 0 ? memmem(scanner->at, left, what, strlen(what)) : NULL;
  scanner->at = found == NULL ? scanner->end : found + strlen(what);
}

/* Two hyphens begin a comment only before a space, a control character or the end (refman: Comments). */
static bool begins_line_comment(const struct scanner *scanner) {
  if (begins(scanner, "#")) return true;
  if (!begins(scanner, "--")) return false;
  return scanner->end - scanner->at == 2 || (unsigned char)scanner->at[2] <= ' ';
}

/* False: here is no comment. What stands in one that begins with an exclamation mark is SQL; with a number
 * behind it only for servers from that version on. */
static bool skip_comment(struct scanner *scanner) {
  if (begins_line_comment(scanner)) {
    skip_past(scanner, "\n");
  } else if (begins(scanner, "/*!")) {
    scanner->at += 3;
    scanner->doubt =
        scanner->doubt || (scanner->at < scanner->end && *scanner->at >= '0' && *scanner->at <= '9');
  } else if (begins(scanner, "/*")) {
    scanner->at += 2;
    skip_past(scanner, "*/");
  } else if (begins(scanner, "*/")) { /* the end of one with SQL in it */
    scanner->at += 2;
  } else {
    return false;
  }
  return true;
}

/* A quotation's content does not matter, only where it ends: a quotation mark in it is doubled, which reads
 * as two quotations, or stands behind a backslash, which a name cannot have. */
static void skip_quotation(struct scanner *scanner) {
  char quote = *scanner->at++;
  while (scanner->at < scanner->end && *scanner->at != quote)
    scanner->at += *scanner->at == '\\' && quote != '`' && scanner->end - scanner->at > 1 ? 2 : 1;
  if (scanner->at < scanner->end) scanner->at++;
}

/* The next word, or one character of punctuation, or a quotation's mark. Its length; 0 at the end. */
static size_t next_token(struct scanner *scanner, const char **token) {
  while (scanner->at < scanner->end && (is_space(*scanner->at) || skip_comment(scanner)))
    if (scanner->at < scanner->end && is_space(*scanner->at)) scanner->at++;
  *token = scanner->at;
  if (scanner->at == scanner->end) return 0;
  if (*scanner->at == '\'' || *scanner->at == '"' || *scanner->at == '`') {
    skip_quotation(scanner);
    return 1;
  }
  do scanner->at++;
  while (scanner->at < scanner->end && is_word(scanner->at[-1]) && is_word(*scanner->at));
  return (size_t)(scanner->at - *token);
}

static bool is_one_of(const char *const *words, const char *token, size_t length) {
  for (; *words != NULL; words++)
    if (strlen(*words) == length && strncasecmp(*words, token, length) == 0) return true;
  return false;
}

bool explain_only(const char *text, size_t length) {
  static const char *const explain[] = {"EXPLAIN", "DESCRIBE", "DESC", NULL};
  static const char *const analyze[] = {"ANALYZE", NULL};
  static const char *const statements[] = {"SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE",
                                           "WITH",   "TABLE",  "VALUES",  "(",      NULL};
  struct scanner scanner = {.at = text, .end = text + length};
  const char *token;
  size_t size = next_token(&scanner, &token);
  if (scanner.doubt || !is_one_of(explain, token, size)) return false;
  /* FORMAT = name, INTO @name, FOR SCHEMA name */
  while ((size = next_token(&scanner, &token)) > 0) {
    if (scanner.doubt || is_one_of(analyze, token, size)) return false;
    if (is_one_of(statements, token, size)) return true;
  }
  return false;
}
