/** The peer on disk: `@tus/server` with `FileStore`, as they are by default. */
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'
import { given, listen } from './stock.ts'

await listen(
  new Server({ path: '/files', datastore: new FileStore({ directory: given('BENCH_DIRECTORY') }) }),
)
