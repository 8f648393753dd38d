/** Whether an error of the file system has one of these codes, such as `ENOENT`. */
export const isCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code))

/** For `catch`: `value` in place of an error with one of these codes. Any other error is thrown again. */
export const onCode =
  <Value>(codes: readonly string[], value: Value) =>
  (error: unknown): Value => {
    if (isCode(error, ...codes)) return value
    throw error
  }
