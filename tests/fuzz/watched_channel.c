/* The library's channel.c, whose word of what was never taken is compared with what has come on the other
 * side. Takes the place of channel.c, and looks into it. */
#include "watched_channel.h"

bool channel_says_never_taken(const struct channel *channel, uint64_t call_id);
#define channel_never_taken channel_says_never_taken
#include "channel.c"
#undef channel_never_taken

#include "peer.h"
#include "target.h"

bool channel_never_taken(const struct channel *channel, uint64_t call_id) {
  const struct stream *stream = &channel->stream;
  bool never = channel_says_never_taken(channel, call_id);
  uint64_t came = peer_requests(channel->fd);
  require(channel->left_whole <= came, "what has left whole has come");
  require(came <= channel->begun, "nothing comes that was not begun");
  if (!never || call_id > came) return never;
  require(
      stream->status == GRPC_STATUS_UNAVAILABLE && stream->has_last_call_id && stream->last_call_id < call_id,
      "a call that has come whole is never taken only where the sidecar says so");
  struct peer_call *call = peer_request(channel->fd, call_id);
  if (call->disclaimed < call->came) call->disclaimed++;
  return never;
}

size_t channel_owed(const struct channel *channel) { return channel->stream.reader.max_queued; }

bool channel_is_served_well(const struct channel *channel) { return peer_connection_is_good(channel->fd); }
