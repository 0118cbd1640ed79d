/* Runs a fuzz target where libFuzzer is not: over each seed as it is, then over mutations of them.
 * TARGET ITERATIONS SEED FOLDER…: does the same for the same numbers and seeds. A finding's input goes into
 * the file that LAMBDA_UDF_FUZZ_FOUND names. */
#include <dirent.h>
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <string.h>

#include "target.h"

#define SEEDS_MAX 65536
#define INPUT_MAX 8192
#define STEPS_MAX 8

static struct seed {
  uint8_t *bytes;
  size_t length;
} seeds[SEEDS_MAX];
static size_t seed_count;

/* The input under way. */
static const uint8_t *running;
static size_t running_length;

static uint64_t random_state;

/* xorshift64*: the same numbers everywhere (Vigna 2016). */
static size_t random_below(size_t limit) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (size_t)((random_state * 2685821657736338717u) >> 32) % limit;
}

static void read_seed(const char *folder, const char *name) {
  char path[4096];
  (void)snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "rb");
  require(file != NULL, path);
  uint8_t bytes[INPUT_MAX];
  size_t length = fread(bytes, 1, sizeof bytes, file);
  (void)fclose(file);
  require(seed_count < SEEDS_MAX, "there are not too many seeds");
  seeds[seed_count].bytes = malloc(length + 1);
  require(seeds[seed_count].bytes != NULL, "there is memory");
  memcpy(seeds[seed_count].bytes, bytes, length);
  seeds[seed_count++].length = length;
}

/* In the order of their names, so that a run can be repeated. */
static void read_folder(const char *folder) {
  struct dirent **names = NULL;
  int count = scandir(folder, &names, NULL, alphasort);
  require(count >= 0, folder);
  for (int i = 0; i < count; i++) {
    if (names[i]->d_name[0] != '.') read_seed(folder, names[i]->d_name);
    free(names[i]);
  }
  free(names);
}

static void run(const uint8_t *bytes, size_t length) {
  uint8_t *exact = malloc(length > 0 ? length : 1); /* so that a byte too many is seen */
  require(exact != NULL, "there is memory");
  memcpy(exact, bytes, length);
  running = exact;
  running_length = length;
  LLVMFuzzerTestOneInput(exact, length);
  running = NULL;
  free(exact);
}

/* A piece of another seed, over what is there or in between. */
static size_t splice(uint8_t *input, size_t length, size_t at) {
  const struct seed *other = &seeds[random_below(seed_count)];
  if (other->length == 0) return length;
  size_t from = random_below(other->length);
  size_t step = random_below(other->length - from < 64 ? other->length - from : 64) + 1;
  if (at + step > INPUT_MAX) return length;
  if (random_below(2) && length + step <= INPUT_MAX) {
    memmove(input + at + step, input + at, length - at);
    length += step;
  }
  memcpy(input + at, other->bytes + from, step);
  return at + step > length ? at + step : length;
}

static size_t mutate_once(uint8_t *input, size_t length) {
  static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0x08, 0x12, 0x1a, 0x79, 0x7d, '%', '9', '*', '/'};
  if (length == 0) return splice(input, 0, 0);
  size_t at = random_below(length);
  switch (random_below(8)) {
    case 0:
      input[at] ^= (uint8_t)(1u << random_below(8));
      return length;
    case 1:
      input[at] = odd[random_below(sizeof odd)];
      return length;
    case 2:
      input[at] = (uint8_t)random_below(256);
      return length;
    case 3: /* cut the end, seldom much of it */
      return random_below(4) == 0 ? at : length - random_below(length < 8 ? length : 8);
    case 4: /* take a byte out */
      memmove(input + at, input + at + 1, length - at - 1);
      return length - 1;
    case 5: /* put a byte in */
      if (length == INPUT_MAX) return length;
      memmove(input + at + 1, input + at, length - at);
      input[at] = (uint8_t)random_below(256);
      return length + 1;
    default:
      return splice(input, length, at);
  }
}

static void run_mutation(void) {
  uint8_t input[INPUT_MAX];
  const struct seed *seed = &seeds[random_below(seed_count)];
  size_t length = seed->length;
  memcpy(input, seed->bytes, length);
  for (size_t i = random_below(STEPS_MAX) + 1; i > 0; i--) length = mutate_once(input, length);
  run(input, length);
}

static void keep_input(void) {
  const char *path = getenv("LAMBDA_UDF_FUZZ_FOUND");
  FILE *file = path != NULL && running != NULL ? fopen(path, "wb") : NULL;
  if (file == NULL) return;
  (void)fwrite(running, 1, running_length, file);
  (void)fclose(file);
  running = NULL;
}

static void keep_input_at(int signal_number) {
  keep_input();
  (void)signal(signal_number, SIG_DFL);
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  unsigned long iterations = strtoul(argv[1], NULL, 10), number = strtoul(argv[2], NULL, 10);
  random_state = number + 1;
  __sanitizer_set_death_callback(keep_input);
  (void)signal(SIGABRT, keep_input_at);
  for (int i = 3; i < argc; i++) read_folder(argv[i]);
  require(seed_count > 0, "there are seeds");
  for (size_t i = 0; i < seed_count; i++) run(seeds[i].bytes, seeds[i].length);
  for (unsigned long i = 0; i < iterations; i++) run_mutation();
  (void)printf("%zu seeds, %lu mutations\n", seed_count, iterations);
  for (size_t i = 0; i < seed_count; i++) free(seeds[i].bytes);
  return 0;
}
