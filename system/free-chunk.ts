/**
 * Gives the memory of a chunk back at once; it is empty afterwards. V8 counts
 * what buffers hold as its own memory, so it would collect all garbage after every few dozen megabytes,
 * which costs more CPU than everything else on a byte's way.
 */
export function freeChunk(chunk: Uint8Array): void {
  const { buffer } = chunk
  // A part of a larger buffer is not for one to give away.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === chunk.byteLength) buffer.transfer(0)
}
