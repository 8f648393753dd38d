/** Where a worker writes what happened: details for a program, a message for a person. */
export type WorkerLog = {
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}
