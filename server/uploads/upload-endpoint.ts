import type { Request, Response } from 'express'
import type { ContentPolicy } from '../../hooks/pre-append.ts'
import type { PreCreateOptions } from '../../hooks/pre-create.ts'
import type { Bus } from '../../ledger/bus.ts'
import type { DueMedia, Enqueue } from '../../ledger/due-work.ts'
import type { MediaId } from '../../ledger/ids.ts'
import type { LeaseKeeper } from '../../ledger/lease-keeper.ts'
import type { RoutedStore } from '../../storage/routed-store.ts'
import type { Appends } from '../admission/appends.ts'
import type { ProgressReporter } from '../events/progress-reporter.ts'

/** What it takes to serve uploads, whichever protocol a request speaks. */
export type UploadEndpointOptions = {
  store: RoutedStore
  leases: LeaseKeeper
  /** Lets in requests that bring bytes. */
  appends: Appends
  bus: Bus
  preCreate: PreCreateOptions
  content: ContentPolicy
  enqueueProcessing: Enqueue<readonly DueMedia[]>
  progress: ProgressReporter
  /** Told of the bytes of each chunk of a file as it arrives. */
  countBytes: (bytes: number) => void
  /** Where a media's content is fetched; undefined as long as it is not ready. Fails with `not-found`. */
  contentAddress: (mediaId: MediaId, response: Response) => Promise<string | undefined>
  /** What an address of an upload begins with: the server's root, or nothing where that is left to the client. */
  baseUrl: (request: Request) => string
  path: string
}

/** A request whose holder is asked to let go has this long to store what is on its way. */
export const LEASE_DRAIN_MS = 250
