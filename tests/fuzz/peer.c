/* A sidecar by script. Each step of the script is a byte that chooses what is done, and the bytes that this
 * needs; after the last one it is silent. Writes its frames by hand, so that each of them can be wrong. */
#include "peer.h"

#include <errno.h>
#include <string.h>

#include "listener.h"
#include "requests.h"
#include "simulated_system.h"
#include "target.h"

enum {
  DATA,
  HEADERS,
  PRIORITY,
  RST_STREAM,
  SETTINGS,
  PUSH_PROMISE,
  PING,
  GOAWAY,
  WINDOW_UPDATE,
  CONTINUATION
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };
/* As call.c: of one call. */
#define TRIES_MAX 5
#define STREAM 1
#define FRAME_HEAD 9
#define PIECE_MAX 512
/* A message with many answers in it. */
#define MESSAGE_MAX 8192

/* What the other side knows of a connection. */
struct talk {
  struct listener listener;
  struct connection *connection;
  bool good;
  bool greeted; /* SETTINGS and the response's headers are said */
  struct peer_call *requests[PEER_CONNECTION_REQUESTS_MAX];
  bool takes_more[PEER_CONNECTION_REQUESTS_MAX], is_answered[PEER_CONNECTION_REQUESTS_MAX];
  size_t in_parts[PEER_CONNECTION_REQUESTS_MAX]; /* bytes of its answer that parts have brought */
  uint64_t request_count;
  uint64_t answered;  /* all up to that one are */
  uint64_t looked_at; /* the last one that is */
};

static struct talk talks[CONNECTIONS_MAX];
static uint8_t messages[CONNECTIONS_MAX][LISTENER_MESSAGE_MAX];
static int talk_count;
static const uint8_t *script, *script_end;
static struct peer_call *calls;
static int call_count;
static int64_t rests_until_us, killed_us, client_went_us;

void peer_start(const uint8_t *bytes, size_t length, struct peer_call *of, int count) {
  talk_count = 0;
  script = bytes;
  script_end = bytes + length;
  calls = of;
  call_count = count;
  rests_until_us = killed_us = client_went_us = 0;
}

uint8_t peer_script_byte(void) { return script < script_end ? *script++ : 0; }

static size_t script_bytes(uint8_t *out, size_t length) {
  size_t left = (size_t)(script_end - script);
  if (length > left) length = left;
  memcpy(out, script, length);
  script += length;
  return length;
}

/* A number of which small ones and those at some limit are likely. */
static uint32_t script_number(void) {
  static const uint32_t odd[] = {0,     1,          65535,      65536,      16384,
                                 16385, 0x7fffffff, 0x80000000, 0xffffffff, 6356992};
  uint8_t byte = peer_script_byte();
  if (byte < 200) return byte;
  if (byte < 220) return odd[byte % (sizeof odd / sizeof odd[0])];
  uint32_t high = peer_script_byte();
  return high << 8 | peer_script_byte();
}

/* ---- frames ---- */

static void say_frame(struct talk *talk, uint8_t type, uint8_t flags, uint32_t stream, const uint8_t *payload,
                      size_t length) {
  uint8_t head[FRAME_HEAD] = {
      (uint8_t)(length >> 16), (uint8_t)(length >> 8),  (uint8_t)length,        type,           flags,
      (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
  system_say(talk->connection, head, sizeof head);
  system_say(talk->connection, payload, length);
}

static void put_number(uint8_t out[4], uint32_t number) {
  for (int i = 0; i < 4; i++) out[i] = (uint8_t)(number >> (24 - 8 * i));
}

static void say_number(struct talk *talk, uint8_t type, uint32_t stream, uint32_t number) {
  uint8_t payload[4];
  put_number(payload, number);
  say_frame(talk, type, 0, stream, payload, sizeof payload);
}

/* A block of header fields, each literal and without an entry in the table (RFC 7541, 6.2.2). */
struct block {
  uint8_t bytes[PIECE_MAX];
  size_t length;
};

static void put_text(struct block *block, const char *text, size_t length) {
  if (length > 126 || block->length + length + 2 > sizeof block->bytes) length = 0;
  if (block->length + 1 > sizeof block->bytes) return;
  block->bytes[block->length++] = (uint8_t)length;
  memcpy(block->bytes + block->length, text, length);
  block->length += length;
}

static void put_field(struct block *block, const char *name, const char *value) {
  if (block->length + 3 > sizeof block->bytes) return;
  block->bytes[block->length++] = 0;
  put_text(block, name, strlen(name));
  put_text(block, value, strlen(value));
}

static void say_block(struct talk *talk, const struct block *block, uint8_t flags) {
  say_frame(talk, HEADERS, flags | END_HEADERS, STREAM, block->bytes, block->length);
}

static void say_headers(struct talk *talk, const char *status, const char *content_type, uint8_t flags) {
  struct block block = {.length = 0};
  put_field(&block, ":status", status);
  if (content_type[0] != '\0') put_field(&block, "content-type", content_type);
  say_block(talk, &block, flags);
}

static void say_trailers(struct talk *talk, const char *status, const char *message, const char *last) {
  struct block block = {.length = 0};
  put_field(&block, "grpc-status", status);
  if (message[0] != '\0') put_field(&block, "grpc-message", message);
  if (last[0] != '\0') put_field(&block, "lambda-udf-last-call-id", last);
  say_block(talk, &block, END_STREAM);
}

/* ---- answers ---- */

static size_t put_varint(uint8_t *out, uint64_t number) {
  size_t length = 0;
  for (; number > 127; number >>= 7) out[length++] = (uint8_t)(number | 128);
  out[length++] = (uint8_t)number;
  return length;
}

/* An InvokeResponse of under 200 bytes: the payload's first 16 bytes come back, or they are an error's text.
 */
static size_t put_response(uint8_t *out, uint64_t call_id, uint8_t error_kind, const uint8_t *text,
                           size_t length) {
  uint8_t inner[64];
  size_t inner_length = 0, at = 0;
  if (length > 16) length = 16;
  inner[inner_length++] = 0x08;
  inner_length += put_varint(inner + inner_length, error_kind > 0 ? error_kind : 200);
  inner[inner_length++] = error_kind > 0 ? 0x1a : 0x7a;
  inner[inner_length++] = (uint8_t)length;
  memcpy(inner + inner_length, text, length);
  inner_length += length;
  out[at++] = 0x08;
  at += put_varint(out + at, call_id);
  out[at++] = error_kind > 0 ? 0x1a : 0x12;
  out[at++] = (uint8_t)inner_length;
  memcpy(out + at, inner, inner_length);
  return at + inner_length;
}

/* In DATA frames of that many bytes each; 0: in one. */
static void say_message(struct talk *talk, uint8_t compressed, uint32_t claimed, const uint8_t *message,
                        size_t length, size_t piece) {
  uint8_t bytes[MESSAGE_MAX + 5];
  bytes[0] = compressed;
  put_number(bytes + 1, claimed);
  memcpy(bytes + 5, message, length);
  length += 5;
  if (piece == 0) piece = length;
  for (size_t at = 0; at < length; at += piece)
    say_frame(talk, DATA, 0, STREAM, bytes + at, length - at < piece ? length - at : piece);
}

/* A call's answer has the first bytes of its payload, so many at most. */
#define ANSWER_MAX 16

/* What is left to say of the answer to the request of that number. */
static size_t rest_of_answer(const struct talk *talk, uint64_t number) {
  const struct peer_call *call = talk->requests[number - 1];
  size_t length = call->payload_length < ANSWER_MAX ? call->payload_length : ANSWER_MAX;
  return length - talk->in_parts[number - 1];
}

/* The answer to the request of that number. Its length, under 200. */
static size_t put_answer(const struct talk *talk, uint8_t *out, uint64_t call_id, uint8_t error_kind) {
  static const uint8_t nobody[] = "nobody";
  bool known = call_id > 0 && call_id <= talk->request_count;
  const struct peer_call *call = known ? talk->requests[call_id - 1] : NULL;
  if (call == NULL) return put_response(out, call_id, error_kind, nobody, sizeof nobody);
  return put_response(out, call_id, error_kind, call->payload + talk->in_parts[call_id - 1],
                      rest_of_answer(talk, call_id));
}

/* An InvokeResponse that is a part, of MESSAGE_MAX - 32 bytes at most. */
static void say_part(struct talk *talk, uint64_t call_id, const uint8_t *bytes, size_t length, size_t piece) {
  uint8_t message[MESSAGE_MAX];
  size_t at = 0;
  message[at++] = 0x08;
  at += put_varint(message + at, call_id);
  message[at++] = 0x32;
  at += put_varint(message + at, length);
  memcpy(message + at, bytes, length);
  say_message(talk, 0, (uint32_t)(at + length), message, at + length, piece);
}

static void say_answer(struct talk *talk, uint64_t call_id, uint8_t error_kind, size_t piece) {
  uint8_t message[PIECE_MAX];
  size_t length = put_answer(talk, message, call_id, error_kind);
  say_message(talk, 0, (uint32_t)length, message, length, piece);
}

/* Several answers in one message. */
struct pack {
  uint8_t bytes[MESSAGE_MAX];
  size_t length, count;
};

/* A further answer, whose bytes are as they are; too many are left out. */
static void put_more(struct pack *pack, const uint8_t *answer, size_t length, size_t claimed) {
  if (pack->length + length + 16 > sizeof pack->bytes) return;
  pack->bytes[pack->length++] = 0x2a;
  pack->length += put_varint(pack->bytes + pack->length, claimed);
  memcpy(pack->bytes + pack->length, answer, length);
  pack->length += length;
  pack->count++;
}

static void put_in_pack(const struct talk *talk, struct pack *pack, uint64_t call_id) {
  uint8_t answer[PIECE_MAX];
  size_t length = put_answer(talk, answer, call_id, 0);
  if (pack->count > 0) {
    put_more(pack, answer, length, length);
    return;
  }
  memcpy(pack->bytes, answer, length);
  pack->length = length;
  pack->count = 1;
}

static void say_pack(struct talk *talk, const struct pack *pack, size_t piece) {
  if (pack->count > 0) say_message(talk, 0, (uint32_t)pack->length, pack->bytes, pack->length, piece);
}

/* ---- what a good sidecar does ---- */

static void greet(struct talk *talk) {
  talk->greeted = true;
  say_frame(talk, SETTINGS, 0, 0, NULL, 0);
  say_frame(talk, SETTINGS, ACK, 0, NULL, 0);
  say_headers(talk, "200", "application/grpc", 0);
}

static void make_room(struct talk *talk) {
  uint32_t data = (uint32_t)talk->listener.data;
  talk->connection->room = SIZE_MAX / 2;
  if (data == 0) return;
  say_number(talk, WINDOW_UPDATE, 0, data);
  say_number(talk, WINDOW_UPDATE, STREAM, data);
  talk->listener.data = 0;
}

/* From now on the request is answered. */
static void note_answer(struct talk *talk, uint64_t number) {
  talk->is_answered[number - 1] = true;
  if (number > talk->looked_at) talk->looked_at = number;
  while (talk->answered < talk->request_count && talk->is_answered[talk->answered]) talk->answered++;
}

/* The first that is not answered; 0: there is none. */
static uint64_t next_request(const struct talk *talk) {
  return talk->answered < talk->request_count ? talk->answered + 1 : 0;
}

/* Ready to answer. */
static bool is_asked(struct talk *talk) {
  if (!talk->listener.asked) return false;
  if (!talk->greeted) greet(talk);
  return true;
}

static void serve(struct talk *talk) {
  make_room(talk);
  if (!is_asked(talk)) return;
  uint64_t number = next_request(talk);
  if (number == 0) return;
  say_answer(talk, number, 0, 0);
  note_answer(talk, number);
}

/* The next part of an answer that may come in parts, of so many bytes at most. */
static void serve_part(struct talk *talk, size_t most) {
  make_room(talk);
  if (!is_asked(talk)) return;
  uint64_t number = next_request(talk);
  if (number == 0 || talk->requests[number - 1]->result_max == 0) return;
  size_t *done = &talk->in_parts[number - 1], left = rest_of_answer(talk, number);
  if (left < most) most = left;
  if (most == 0) return;
  say_part(talk, number, talk->requests[number - 1]->payload + *done, most, 0);
  *done += most;
  if (number > talk->looked_at) talk->looked_at = number;
}

/* Answers up to that many together, the latest or the earliest first, if their clients read that. */
static void serve_together(struct talk *talk, size_t most, bool latest_first) {
  struct pack pack = {.count = 0};
  make_room(talk);
  if (!is_asked(talk)) return;
  uint64_t first = talk->answered;
  for (uint64_t i = first; i < talk->request_count && pack.count < most; i++) {
    uint64_t number = latest_first ? talk->request_count - (i - first) : i + 1;
    if (talk->is_answered[number - 1] || !talk->takes_more[number - 1]) continue;
    put_in_pack(talk, &pack, number);
    note_answer(talk, number);
  }
  say_pack(talk, &pack, 0);
}

/* As a sidecar ends that stops: answers what it has looked at, to which so many more requests may belong, and
 * says what it has not. */
static void stop(struct talk *talk, uint64_t more) {
  char last[24];
  if (!is_asked(talk)) return;
  uint64_t looked_at = talk->looked_at + more;
  if (looked_at > talk->request_count) looked_at = talk->request_count;
  for (uint64_t number = next_request(talk); number != 0 && number <= looked_at;
       number = next_request(talk)) {
    say_answer(talk, number, 0, 0);
    note_answer(talk, number);
  }
  (void)snprintf(last, sizeof last, "%llu", (unsigned long long)looked_at);
  say_trailers(talk, "14", "stopping", last);
  say_number(talk, RST_STREAM, STREAM, 0);
  talk->connection->ended = true;
}

/* ---- and everything else ---- */

static void say_script_frame(struct talk *talk) {
  uint8_t payload[PIECE_MAX], type = peer_script_byte(), flags = peer_script_byte();
  uint32_t stream = script_number();
  size_t length = script_bytes(payload, peer_script_byte());
  say_frame(talk, type % 12, flags, stream, payload, length);
}

/* A head that promises more than comes. */
static void say_long_frame(struct talk *talk) {
  uint8_t head[FRAME_HEAD] = {peer_script_byte(),
                              peer_script_byte(),
                              peer_script_byte(),
                              peer_script_byte() % 12,
                              peer_script_byte(),
                              0,
                              0,
                              0,
                              peer_script_byte() % 4};
  system_say(talk->connection, head, sizeof head);
}

static void say_script_bytes(struct talk *talk) {
  uint8_t bytes[PIECE_MAX];
  size_t length = script_bytes(bytes, peer_script_byte());
  system_say(talk->connection, bytes, length);
}

/* Header fields from a table or from the script, in HEADERS and CONTINUATION. */
static void say_fields(struct talk *talk) {
  static const char *const names[] = {
      ":status", "content-type", "grpc-status",  "grpc-message", "lambda-udf-last-call-id", "te",
      "x",       ":path",        "grpc-encoding"};
  static const char *const values[] = {"200",
                                       "100",
                                       "103",
                                       "101",
                                       "404",
                                       "0",
                                       "14",
                                       "1",
                                       "16",
                                       "17",
                                       "-1",
                                       "",
                                       "application/grpc",
                                       "application/grpc+proto",
                                       "text/html",
                                       "%E2%82%AC%",
                                       "18446744073709551615",
                                       "18446744073709551616",
                                       "2",
                                       "3",
                                       "gzip"};
  struct block block = {.length = 0};
  uint8_t count = peer_script_byte() % 8, how = peer_script_byte();
  for (uint8_t i = 0; i < count; i++) {
    const char *name = names[peer_script_byte() % (sizeof names / sizeof names[0])];
    uint8_t which = peer_script_byte();
    char own[9] = "";
    if (which >= 250) script_bytes((uint8_t *)own, sizeof own - 1);
    put_field(&block, name, which >= 250 ? own : values[which % (sizeof values / sizeof values[0])]);
  }
  size_t first = how & 1 ? block.length : block.length / 2;
  uint8_t flags = (how & 2 ? END_STREAM : 0) | (how & 1 ? END_HEADERS : 0);
  say_frame(talk, HEADERS, flags, STREAM, block.bytes, first);
  if ((how & 1) == 0)
    say_frame(talk, CONTINUATION, how & 4 ? 0 : END_HEADERS, STREAM, block.bytes + first,
              block.length - first);
}

static void say_settings(struct talk *talk) {
  uint8_t payload[6] = {0, peer_script_byte() % 8};
  put_number(payload + 2, script_number());
  say_frame(talk, SETTINGS, 0, 0, payload, sizeof payload);
}

static void say_goaway(struct talk *talk) {
  uint8_t payload[8];
  put_number(payload, script_number());
  put_number(payload + 4, script_number());
  say_frame(talk, GOAWAY, 0, 0, payload, sizeof payload);
}

/* Answers together, one of which is not as it should be. */
static void say_odd_pack(struct talk *talk) {
  struct pack pack = {.count = 0};
  uint8_t answer[PIECE_MAX];
  size_t count = peer_script_byte() % 80 + 1u, odd_at = peer_script_byte() % count;
  uint8_t how = peer_script_byte() % 8;
  uint64_t number = talk->answered;
  for (size_t i = 0; i < count; i++) {
    bool odd = i == odd_at;
    if (!odd || how > 2) number++;
    if (odd && how == 0) number = script_number(); /* of nobody, or of anybody */
    if (odd && how == 1) number = 0;               /* and with 2 the same as before, once more */
    size_t length = put_answer(talk, answer, number, 0);
    if (odd && how == 3) length = put_varint(answer, 0x08); /* cut */
    if (odd && how == 4) {                                  /* nested */
      static const uint8_t nested[] = {0x2a, 0x02, 0x12, 0x00};
      memcpy(answer + length, nested, sizeof nested);
      length += sizeof nested;
    }
    if (odd && how >= 5)
      put_more(&pack, answer, length, script_number()); /* its length lies; alone it is no answer at all */
    else if (pack.count > 0)
      put_more(&pack, answer, length, length);
    else
      put_in_pack(talk, &pack, number);
  }
  say_pack(talk, &pack, peer_script_byte() % 64);
}

/* Parts of anybody's answer, or of what has none, and more of them than there may be. */
static void say_odd_parts(struct talk *talk) {
  static const uint8_t bytes[MESSAGE_MAX - 32] = {'p'};
  uint64_t call_id = peer_script_byte() % 4 == 0 ? script_number() : next_request(talk);
  uint32_t count = peer_script_byte() * 8u, length = script_number() % sizeof bytes;
  size_t piece = peer_script_byte() % 32 * 64u;
  while (count-- > 0) say_part(talk, call_id, bytes, length, piece);
}

static void say_odd_message(struct talk *talk) {
  uint8_t message[PIECE_MAX - 5], compressed = peer_script_byte() % 4 == 0 ? 1 : 0;
  uint32_t claimed = script_number();
  size_t length = script_bytes(message, peer_script_byte());
  say_message(talk, compressed, claimed, message, length, peer_script_byte() % 32);
}

static void flip(struct talk *talk) {
  struct connection *connection = talk->connection;
  size_t unread = connection->said - connection->heard, at = script_number();
  if (unread > 0) connection->incoming[connection->heard + at % unread] ^= peer_script_byte();
}

static void cut(struct talk *talk) {
  struct connection *connection = talk->connection;
  size_t unread = connection->said - connection->heard, at = script_number();
  if (unread > 0) connection->said -= at % unread;
}

static void say_script_trailers(struct talk *talk) {
  static const char *const statuses[] = {"14", "0", "1", "13", "17", ""};
  char last[24];
  uint64_t number = peer_script_byte() % 4 == 0 ? script_number() : talk->answered;
  (void)snprintf(last, sizeof last, "%llu", (unsigned long long)number);
  say_trailers(talk, statuses[peer_script_byte() % (sizeof statuses / sizeof statuses[0])], "why%20", last);
}

static void flood(struct talk *talk) {
  static const uint8_t ping[8] = {0};
  uint8_t what = peer_script_byte() % 6;
  for (uint32_t i = peer_script_byte() * 8u; i > 0; i--) {
    if (what == 0) say_frame(talk, PING, 0, 0, ping, sizeof ping);
    if (what == 1) say_frame(talk, SETTINGS, 0, 0, NULL, 0);
    if (what == 2) say_frame(talk, DATA, 0, STREAM, NULL, 0);
    if (what == 3) say_number(talk, WINDOW_UPDATE, STREAM, 1);
    if (what == 4) say_headers(talk, "103", "", 0);
    if (what == 5) say_answer(talk, talk->answered + i, 0, 0);
  }
}

enum step {
  SERVE,
  HEAR, /* reads what was sent, so that more can be */
  GREET,
  INFORM,
  ANSWER,
  REFUSE,
  ODD_MESSAGE,
  TRAILERS,
  STOP,
  RESET_STREAM,
  GO_AWAY,
  SET,
  OPEN_WINDOW,
  FLOOD,
  FIELDS,
  FRAME,
  LONG_FRAME,
  BYTES,
  FLIP,
  CUT,
  END,
  RESET,
  DEAFEN,
  FRAGMENT,
  NARROW, /* takes so many bytes, and no more before HEAR */
  INTERRUPT,
  REST,
  KILL,
  CLIENT_GOES,
  AT_ONCE, /* does the next two in the same moment */
  SERVE_TOGETHER,
  STOP_BEHIND, /* as STOP, but it has looked at more than it has answered */
  ODD_PACK,
  SERVE_PART,
  ODD_PARTS,
  STEP_COUNT
};

/* Those that change nothing for a library that does its work. */
static bool is_good(enum step step) {
  return step <= HEAR || (step >= FRAGMENT && step <= REST) || step == STOP ||
         (step >= AT_ONCE && step <= STOP_BEHIND) || step == SERVE_PART;
}

static void say(struct talk *talk, enum step step) {
  switch (step) {
    case GREET:
      greet(talk);
      break;
    case INFORM:
      say_headers(talk, "100", "", 0);
      break;
    case ANSWER: {
      uint64_t call_id = script_number();
      say_answer(talk, call_id, 0, peer_script_byte() % 16);
      break;
    }
    case REFUSE: {
      uint64_t call_id = next_request(talk);
      say_answer(talk, call_id, peer_script_byte(), 0);
      if (call_id != 0) note_answer(talk, call_id);
      break;
    }
    case ODD_MESSAGE:
      say_odd_message(talk);
      break;
    case ODD_PACK:
      say_odd_pack(talk);
      break;
    case ODD_PARTS:
      say_odd_parts(talk);
      break;
    case TRAILERS:
      say_script_trailers(talk);
      break;
    case RESET_STREAM:
      say_number(talk, RST_STREAM, STREAM, script_number());
      break;
    case GO_AWAY:
      say_goaway(talk);
      break;
    case SET:
      say_settings(talk);
      break;
    case OPEN_WINDOW: {
      uint32_t stream = peer_script_byte() % 3;
      say_number(talk, WINDOW_UPDATE, stream, script_number());
      break;
    }
    case FLOOD:
      flood(talk);
      break;
    case FIELDS:
      say_fields(talk);
      break;
    case FRAME:
      say_script_frame(talk);
      break;
    case LONG_FRAME:
      say_long_frame(talk);
      break;
    case BYTES:
      say_script_bytes(talk);
      break;
    default:
      break;
  }
}

static void act(struct talk *talk, enum step step) {
  struct connection *connection = talk->connection;
  talk->good = talk->good && is_good(step);
  switch (step) {
    case SERVE:
      serve(talk);
      break;
    case HEAR:
      make_room(talk);
      break;
    case STOP:
      stop(talk, 0);
      break;
    case SERVE_TOGETHER: {
      uint8_t how = peer_script_byte();
      serve_together(talk, how % REQUESTS_MAX + 1u, how >= 128);
      break;
    }
    case SERVE_PART:
      serve_part(talk, peer_script_byte() % ANSWER_MAX + 1u);
      break;
    case STOP_BEHIND:
      stop(talk, peer_script_byte());
      break;
    case FLIP:
      flip(talk);
      break;
    case CUT:
      cut(talk);
      break;
    case END:
      connection->ended = true;
      break;
    case RESET:
      connection->reset = true;
      break;
    case DEAFEN:
      connection->deaf = true;
      break;
    case FRAGMENT:
      connection->fragment = script_number();
      break;
    case NARROW:
      connection->room = script_number();
      break;
    case INTERRUPT:
      connection->interruptions = peer_script_byte() % 4;
      break;
    default:
      say(talk, step);
  }
}

/* ---- the system's questions ---- */

static struct talk *talk_of(const struct connection *connection) {
  return (struct talk *)connection->listener->argument;
}

static struct peer_call *call_of(const struct sent_request *request) {
  for (int i = 0; i < call_count; i++) {
    size_t length = calls[i].payload_length;
    if (length == request->payload_length && memcmp(request->payload, calls[i].payload, length) == 0)
      return &calls[i];
  }
  return NULL;
}

static void request_came(struct talk *talk, const struct sent_request *request) {
  struct peer_call *call = call_of(request);
  require(call != NULL, "a request is a call's, whole and unchanged");
  require(talk->request_count < PEER_CONNECTION_REQUESTS_MAX,
          "a channel carries no more than was begun on it");
  require(request->has_durable_name == call->repeatable, "a name is sent with the call that has it");
  require(request->result_max == call->result_max, "only a call that takes parts says so");
  require(call->repeatable || call->came == call->disclaimed,
          "a call that may have been carried out is not sent again, but for one that is safe to repeat");
  require(call->came < TRIES_MAX, "no call is sent again and again");
  call->came++;
  call->good = &talk->good;
  talk->takes_more[talk->request_count] = request->takes_more;
  talk->requests[talk->request_count++] = call;
  call->number = talk->request_count;
  require(request->call_id == call->number, "requests are numbered in their order");
}

static void message_came(void *argument, const uint8_t *message, size_t length) {
  struct sent_request requests[REQUESTS_MAX];
  size_t count = requests_read(message, length, requests);
  for (size_t i = 0; i < count; i++) request_came(argument, &requests[i]);
}

int peer_accepts(struct connection *connection) {
  static const int errors[] = {ENOENT, ECONNREFUSED, EAGAIN, EACCES};
  uint8_t byte = peer_script_byte();
  if (byte >= 248) return errors[byte % 4];
  require(talk_count < CONNECTIONS_MAX, "no more connections than sockets");
  struct talk *talk = &talks[talk_count];
  *talk = (struct talk){.connection = connection, .good = true};
  listener_start(&talk->listener, messages[talk_count++], message_came, talk);
  connection->listener = &talk->listener;
  connection->room = SIZE_MAX / 2;
  return 0;
}

void peer_hears(struct connection *connection, const uint8_t *bytes, size_t length) {
  listener_hears(connection->listener, bytes, length);
}

static void act_once(struct connection *connection) {
  enum step step = (enum step)(peer_script_byte() % STEP_COUNT);
  if (step == REST) rests_until_us = system_now_us() + script_number() * INT64_C(1000);
  if (step == KILL && killed_us == 0) killed_us = system_now_us();
  if (step == CLIENT_GOES && client_went_us == 0) {
    client_went_us = system_now_us();
    system_client_goes();
  }
  if (step == AT_ONCE) {
    act_once(connection);
    if (script < script_end) act_once(connection);
  } else if (connection != NULL && connection->listener != NULL) {
    act(talk_of(connection), step);
  }
}

bool peer_acts(struct connection *connection) {
  if (script == script_end || system_now_us() < rests_until_us) return false;
  act_once(connection == NULL ? system_latest() : connection);
  return true;
}

int64_t peer_acts_again_us(void) { return script == script_end ? INT64_MAX : rests_until_us; }

void peer_acts_between(int times) {
  while (times-- > 0 && peer_acts(NULL)) continue;
}

bool peer_is_good(void) {
  for (int i = 0; i < talk_count; i++)
    if (!talks[i].good) return false;
  return true;
}

int64_t peer_killed_us(void) { return killed_us; }

int64_t peer_client_went_us(void) { return client_went_us; }

bool peer_connection_is_good(int fd) { return talk_of(system_connection(fd))->good; }

uint64_t peer_requests(int fd) { return talk_of(system_connection(fd))->request_count; }

struct peer_call *peer_request(int fd, uint64_t number) {
  return talk_of(system_connection(fd))->requests[number - 1];
}
