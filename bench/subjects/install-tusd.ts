import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ExecaError, execa } from 'execa'

export const TUSD_VERSION = 'v2.9.2'
const PACKAGE = 'github.com/tus/tusd/v2/cmd/tusd'
/** Some hundred packages to fetch and to compile, on a small machine. */
const INSTALL_MS = 20 * 60_000
const ANSWER_MS = 30_000

/** The program, or why there is none. */
export type Tusd = { program: string } | { lack: string }

type InstallOptions = {
  /** Keeps the program from one run to the next. */
  cache: string
  /** The caller's own, such as their GOPROXY. */
  env: NodeJS.ProcessEnv
  signal: AbortSignal
  /** The installation, which takes minutes, begins. */
  onInstall: () => void
}

/**
 * Has `go` install tusd below `cache`, if it is not there yet; nothing else is left there, and nothing at all
 * elsewhere. Fails only with the reason of `signal`.
 */
export async function installTusd({ cache, env, signal, onInstall }: InstallOptions): Promise<Tusd> {
  const program = join(cache, `tusd-${TUSD_VERSION}-${process.platform}-${process.arch}`)
  try {
    if (await runs(program, signal)) return { program }
    await execa('go', ['version'], { env, extendEnv: false, cancelSignal: signal, timeout: ANSWER_MS })
    onInstall()
    await install(program, env, signal)
    if (await runs(program, signal)) return { program }
    return { lack: `tusd ${TUSD_VERSION} was installed, but does not run` }
  } catch (error) {
    signal.throwIfAborted()
    return { lack: reasonOf(error) }
  }
}

async function install(program: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  await mkdir(dirname(program), { recursive: true })
  const work = await mkdtemp(`${program}-install-`)
  try {
    await execa('go', ['install', `${PACKAGE}@${TUSD_VERSION}`], {
      env: {
        ...env,
        // The modules of the caller are not ours to add to, and can then be removed.
        GOPATH: join(work, 'path'),
        GOMODCACHE: join(work, 'modules'),
        GOCACHE: join(work, 'cache'),
        GOBIN: join(work, 'bin'),
        GOFLAGS: '-mod=mod -modcacherw',
        // No C compiler is needed.
        CGO_ENABLED: '0',
      },
      extendEnv: false,
      cancelSignal: signal,
      timeout: INSTALL_MS,
    })
    await rename(join(work, 'bin', 'tusd'), program)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Also false of one for another system, in a directory that both share. */
async function runs(program: string, signal: AbortSignal): Promise<boolean> {
  const { failed } = await execa(program, ['-version'], {
    reject: false,
    cancelSignal: signal,
    timeout: ANSWER_MS,
  })
  signal.throwIfAborted()
  return !failed
}

function reasonOf(error: unknown): string {
  if (!(error instanceof ExecaError)) return `tusd ${TUSD_VERSION} could not be installed: ${String(error)}`
  if (error.code === 'ENOENT') return `tusd ${TUSD_VERSION} needs go, which is not on this machine`
  const lastLine = String(error.stderr ?? '')
    .trim()
    .split('\n')
    .at(-1)
  const why = error.timedOut ? 'it took too long' : lastLine || error.shortMessage
  return `tusd ${TUSD_VERSION} could not be installed by go: ${why}`
}
