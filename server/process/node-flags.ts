/**
 * How Node is to be started for a server or a worker. Under load V8 takes some hundred megabytes, if it may, for a
 * little less work on garbage; that memory is better used for bytes on their way.
 */
export const NODE_FLAGS = ['--max-semi-space-size=4', '--heap-growing-percent=20'] as const
