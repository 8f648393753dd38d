/** Builds the web page into client-demo/dist, unless what lies there was made from the same sources. */
import { createHash } from 'node:crypto'
import { chmod, cp, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'

const root = path.resolve(import.meta.dirname, '..')
const pageFolder = path.join(root, 'client-demo')
const outFolder = path.join(pageFolder, 'dist')
const stampFile = path.join(outFolder, '.stamp')

/** What was built, what tools cached there, and tests have no part in the page. */
function isNoSource(file: string): boolean {
  const folders = [outFolder, path.join(pageFolder, 'node_modules')]
  return folders.some((folder) => file.startsWith(folder + path.sep)) || file.endsWith('.test.ts')
}

/** Of the page's sources, their names, and the lockfile that fixes every tool and library. */
async function hashSources(): Promise<string> {
  const listed = await readdir(pageFolder, { recursive: true, withFileTypes: true })
  const files = listed
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => !isNoSource(file))
    .concat(path.join(root, 'package-lock.json'))
    .sort()
  const hash = createHash('sha256')
  for (const file of files) {
    hash.update(`${path.relative(root, file)}\0`)
    hash.update(await readFile(file))
  }
  return hash.digest('hex')
}

/** The stamp of the last build, or null where there is none yet. */
async function readStamp(): Promise<string | null> {
  return readFile(stampFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
}

/** Builds beside the old page and swaps at the end: a failed build, or a server that runs, keeps the old one. */
async function buildPage(stamp: string): Promise<void> {
  // Loaded only here: importing Vite takes longer than the whole check.
  const { build } = await import('vite')
  const fresh = await mkdtemp(path.join(root, 'node_modules', '.landfall-page-'))
  try {
    await build({
      root: pageFolder,
      configFile: path.join(pageFolder, 'vite.config.ts'),
      logLevel: 'warn',
      build: { outDir: fresh, emptyOutDir: true },
    })
    await chmod(fresh, 0o755) // mkdtemp makes it private; the server may run as another user
    await writeFile(path.join(fresh, '.stamp'), stamp)
    await rm(outFolder, { recursive: true, force: true })
    await rename(fresh, outFolder).catch((error: NodeJS.ErrnoException) => {
      // node_modules may be a volume of its own, as it is in some containers.
      if (error.code !== 'EXDEV') throw error
      return cp(fresh, outFolder, { recursive: true })
    })
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
}

const startedAt = performance.now()
const stamp = await hashSources()
if ((await readStamp()) !== stamp) {
  await buildPage(stamp)
  console.log(`Built the web page in ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`)
}
