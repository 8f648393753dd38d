/** The peer on disk: `@tus/server` with `FileStore`, as they are by default. */
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'
import { given, listen } from './serving.ts'

const datastore = new FileStore({ directory: given('BENCH_DIRECTORY') })
const tus = new Server({ path: '/files', datastore })
await listen((request, response) => tus.handle(request, response))
