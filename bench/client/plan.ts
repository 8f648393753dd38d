/** What the client does in one run. */
export type UploadPlan = {
  uploads: number
  /** Size of each upload, in bytes. */
  size: number
  /** The most that one PATCH carries, in bytes. */
  requestSize: number
  /** How many uploads run at a time. */
  parallel: number
  /** Each upload sends no faster than this; null where it sends as fast as it can. */
  bytesPerSecond: number | null
}

/** What the parent tells the client process. */
export type ClientOrder = { url: string; headers: Record<string, string>; plan: UploadPlan }

/** Milliseconds of every request of a run, in the order of their answers. */
export type RequestTimes = { POST: number[]; PATCH: number[] }

/** What the client did. */
export type ClientReport = {
  seconds: number
  times: RequestTimes
  /** The last segments of their addresses. */
  uploadIds: string[]
}

/** What the client process tells its parent, once. */
export type ClientMessage = { report: ClientReport } | { failure: string }
