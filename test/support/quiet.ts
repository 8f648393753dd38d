/** A log for what a test looks at by other means. */
export const QUIET = { error: () => {}, info: () => {}, warn: () => {} }
