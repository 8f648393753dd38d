/**
 * Node's flags for a server or a worker. Under load V8 would take some hundred megabytes to save a little garbage
 * collection.
 */
export const NODE_FLAGS = ['--max-semi-space-size=4', '--heap-growing-percent=20'] as const
