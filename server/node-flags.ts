/**
 * How Node is to be started for a server or a worker. The young generation of V8 grows to some hundred megabytes
 * under load if it may, for a little less work on garbage; that memory is better used for bytes on their way.
 */
export const NODE_FLAGS = ['--max-semi-space-size=4'] as const
