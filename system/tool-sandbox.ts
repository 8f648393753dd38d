import { constants } from 'node:fs'
import { access, realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { onCode } from './error-code.ts'
import { programEnvironment, runProgram } from './programs.ts'

export const SANDBOX_KINDS = ['bwrap', 'unshare', 'none'] as const
/** The sandbox of a tool: `bwrap` (bubblewrap), `unshare` (util-linux), or none. */
export type SandboxKind = (typeof SANDBOX_KINDS)[number]

/** The setting: the best available one, at least one, or none. */
export type SandboxWish = 'auto' | 'required' | 'off'

export type SandboxOptions = {
  /** Directories of programs, separated by colons: the only variable of this process that tools get. */
  path: string
  /** The data directory, of which a tool sees only its input. */
  dataDirectory: string
}

export type Confined = {
  program: string
  args: readonly string[]
  /** Paths of other programs that it runs. */
  runs?: readonly string[]
  /** The file that it reads; undefined where it reads no local file. */
  input?: string | undefined
  /** The folder that it may write to; none without it. */
  folder?: string | undefined
  /** Whether it reads from an address. */
  hasNetwork: boolean
  /** For each process: bytes of address space, seconds of processor time. */
  limits: { addressBytes: number; cpuSeconds: number }
}

export type Command = { program: string; args: string[] }

/** Directories that no tool needs: homes, sockets, files of others. */
const HIDDEN = ['/tmp', '/var/tmp', '/run', '/root', '/home', '/mnt', '/media', '/srv']
/** Possible places of the resolver's configuration. */
const RESOLVER = ['/run/systemd/resolve', '/run/NetworkManager', '/run/resolvconf']
const PROGRAMS = { bwrap: ['bwrap', 'sh'], unshare: ['unshare', 'setpriv', 'mount', 'sh'] } as const
const TRIAL_MS = 10_000
const TRIAL_LIMITS = { addressBytes: 4 * 1024 ** 3, cpuSeconds: 60 }

/**
 * Runs a tool without network (unless its input is at an address), with a read-only view of the file system except for
 * one folder, and without sight of other processes. The sandbox is made for each run, in some milliseconds. What is in
 * force depends on the system: see `openSandbox`.
 */
export class ToolSandbox {
  readonly kind: SandboxKind
  readonly #options: SandboxOptions

  constructor(kind: SandboxKind, options: SandboxOptions) {
    this.kind = kind
    this.#options = options
  }

  /** The environment of a tool. */
  get environment(): Record<string, string> {
    return programEnvironment(this.#options.path)
  }

  /** The command to run instead. A missing program is left as it is, and fails when it is run. */
  async confine(confined: Confined): Promise<Command> {
    const program = await findProgram(confined.program, this.#options.path)
    if (program === undefined) return { program: confined.program, args: [...confined.args] }
    const [first = program, ...rest] = [
      ...(await this.#limit(confined.limits)),
      ...(await this.#hold(program, confined)),
      program,
      ...confined.args,
    ]
    return { program: first, args: rest }
  }

  /**
   * Precedes everything else, so that all processes of a tool inherit it. Without prlimit only ffmpeg's own limits
   * apply.
   */
  async #limit({ addressBytes, cpuSeconds }: Confined['limits']): Promise<string[]> {
    if (process.platform !== 'linux') return []
    const prlimit = await findProgram('prlimit', this.#options.path)
    return prlimit === undefined ? [] : [prlimit, `--as=${addressBytes}`, `--cpu=${cpuSeconds}`, '--']
  }

  async #hold(program: string, confined: Confined): Promise<string[]> {
    switch (this.kind) {
      case 'bwrap':
        return await this.#bwrap(program, confined)
      case 'unshare':
        return await this.#unshare(confined)
      case 'none':
        return []
    }
  }

  async #bwrap(program: string, { runs = [], input, folder, hasNetwork }: Confined): Promise<string[]> {
    // A link is hidden at its target, where files are visible.
    const data = await realPaths([this.#options.dataDirectory])
    const others = (await realPaths(HIDDEN)).filter((path) => !data.includes(path))
    const real = await Promise.all([program, ...runs].map((path) => realpath(path)))
    const programs = new Set([program, ...runs, ...real].map((path) => dirname(path)))
    return [
      ...['bwrap', '--die-with-parent', '--unshare-pid', '--unshare-ipc', '--unshare-uts'],
      ...(hasNetwork ? [] : ['--unshare-net']),
      // Files may belong to another user than root.
      ...(isRoot() ? ['--cap-drop', 'ALL', '--cap-add', 'CAP_DAC_OVERRIDE'] : []),
      ...['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc'],
      ...others.flatMap((path) => ['--tmpfs', path]),
      ...[...programs].filter(isHidden).flatMap((path) => ['--ro-bind-try', path, path]),
      // After the programs, which may be above it.
      ...data.flatMap((path) => ['--tmpfs', path]),
      ...(hasNetwork ? RESOLVER.flatMap((path) => ['--ro-bind-try', path, path]) : []),
      ...(await bound('--bind', folder, [...data, ...others])),
      ...(await bound('--ro-bind-try', input, [...data, ...others])),
      // Root could change the machine by files below /proc; /dev contains /dev/shm.
      ...[...data, ...others, '/proc', '/dev'].flatMap((path) => ['--remount-ro', path]),
      ...['--chdir', '/', '--'],
    ]
  }

  async #unshare({ folder, hasNetwork }: Confined): Promise<string[]> {
    return [
      ...['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--ipc'],
      ...(hasNetwork ? [] : ['--net']),
      ...(isRoot() ? [] : ['--user', '--map-root-user']),
      ...['--', 'sh', '-c', READ_ONLY, isRoot() ? '-all,+dac_override' : '-all'],
      folder === undefined ? '' : await realpath(folder),
    ]
  }
}

/**
 * Makes every mount read-only except for the folder: file systems, and those of the kernel, by which root could change
 * the machine. Then runs the tool without the right to change that. The trial finds what could not be made read-only.
 * The shell stays: signals have no effect on the first process of a namespace. Arguments: capabilities, folder, and the
 * command.
 */
const READ_ONLY = `set -e
folder=$1
shift
if [ -n "$folder" ]; then mount --bind "$folder" "$folder"; fi
while read -r device place type options rest; do
  case $options in rw|rw,*) ;; *) continue ;; esac
  place=$(printf '%b' "$place")
  [ "$place" = "$folder" ] || mount -o remount,bind,ro "$place" 2>/dev/null || :
done </proc/self/mounts
setpriv --no-new-privs --bounding-set="$0" -- "$@" || exit $?`

/** Only the limits around a tool: for callers outside of a worker. */
export const noSandbox = (path: string): ToolSandbox =>
  new ToolSandbox('none', { path, dataDirectory: '/nonexistent' })

/**
 * The best sandbox in which the tools run on this system, found by a trial: containers often forbid parts of it. One
 * that this server has found before (`found`) is not tried again. Fails where one is required and there is none.
 */
export async function openSandbox(
  options: SandboxOptions & { wish: SandboxWish; found?: SandboxKind | undefined; tools: readonly string[] },
): Promise<ToolSandbox> {
  const { path, wish, found, tools } = options
  const own = { path, dataDirectory: resolve(options.dataDirectory) }
  const kinds = wish === 'off' || process.platform !== 'linux' ? [] : (['bwrap', 'unshare'] as const)
  for (const kind of kinds) {
    const sandbox = new ToolSandbox(kind, own)
    const programs = await Promise.all(PROGRAMS[kind].map((name) => findProgram(name, path)))
    if (programs.includes(undefined)) continue
    if (kind === found || (await holds(sandbox, own, tools))) return sandbox
  }
  if (wish === 'required')
    throw new Error('TOOL_SANDBOX=required: neither bwrap nor unshare works on this system')
  return new ToolSandbox('none', own)
}

/**
 * The trial of a sandbox, in one run, as loading a tool takes most of its time. Ends with 3 where other machines can be
 * reached, or something can be written; otherwise it names the tools that do not run. A network without routes and
 * addresses is none: interfaces may exist in every one. Arguments: tools.
 */
const TRIAL = `n=0
while read -r line; do n=$((n + 1)); done </proc/net/route
[ $n -le 1 ] || exit 3
while read -r address index length scope flags name; do [ "$name" = lo ] || exit 3; done 2>/dev/null </proc/net/if_inet6
while read -r device place type rest; do
  # Devices, and what a process makes for itself.
  case $type:$place in devpts:*|mqueue:*|*:/dev) continue ;; esac
  place=$(printf '%b' "$place")
  if [ -d "$place" ] && [ -w "$place" ]; then exit 3; fi
done </proc/self/mounts
if [ -w /proc/sys/kernel/core_pattern ]; then exit 3; fi
for tool in "$@"; do ("$tool" -version >/dev/null 2>&1 || echo "$tool") & done
wait`

/** Whether it isolates what runs in it, and every tool that works at all works in it. */
async function holds(
  sandbox: ToolSandbox,
  { path }: SandboxOptions,
  tools: readonly string[],
): Promise<boolean> {
  const paths = (await Promise.all(tools.map((tool) => findProgram(tool, path)))).filter(
    (found) => found !== undefined,
  )
  const failed = await run(sandbox, 'sh', ['-c', TRIAL, 'sh', ...paths], paths)
  if (failed === undefined) return false
  const bare = noSandbox(path)
  const names = failed.split('\n').filter((name) => name !== '')
  const running = await Promise.all(names.map((tool) => run(bare, tool, ['-version'])))
  return running.every((said) => said === undefined)
}

/** The output of a program; undefined where it cannot be run, or fails. */
async function run(
  sandbox: ToolSandbox,
  name: string,
  args: readonly string[],
  runs: readonly string[] = [],
): Promise<string | undefined> {
  const { program, args: all } = await sandbox.confine({
    program: name,
    args,
    runs,
    hasNetwork: false,
    limits: TRIAL_LIMITS,
  })
  const { exitCode, stdout } = await runProgram(program, all, {
    ...{ env: sandbox.environment, reject: false, stdin: 'ignore', stderr: 'ignore' },
    ...{ timeout: TRIAL_MS, killSignal: 'SIGKILL' },
  })
  return exitCode === 0 ? stdout : undefined
}

/** The path of a program as a shell would find it; undefined without an executable one. */
async function findProgram(name: string, path: string): Promise<string | undefined> {
  const paths = name.includes('/')
    ? [resolve(name)]
    : path.split(':').map((directory) => join(directory, name))
  for (const candidate of paths) if (await isThere(candidate, constants.X_OK)) return candidate
  return undefined
}

const isRoot = (): boolean => process.getuid?.() === 0

const isHidden = (path: string): boolean =>
  HIDDEN.some((hidden) => path === hidden || path.startsWith(`${hidden}/`))

/** The targets of those of these paths that exist, each once; never the root. */
async function realPaths(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    paths.map(async (path) => ((await isThere(path)) ? [await realpath(path)] : [])),
  )
  return [...new Set(found.flat())].filter((path) => path !== '/')
}

/** A file or folder in a sandbox, at its real path, and at that of a link which is hidden itself. */
async function bound(how: string, path: string | undefined, covered: readonly string[]): Promise<string[]> {
  if (path === undefined) return []
  const folder = dirname(path)
  const real = (await isThere(folder)) ? join(await realpath(folder), basename(path)) : path
  const isCovered = real !== path && covered.some((cover) => path.startsWith(`${cover}/`))
  return [how, real, real, ...(isCovered ? [how, real, path] : [])]
}

async function isThere(path: string, mode = constants.F_OK): Promise<boolean> {
  const there = access(path, mode).then(() => true)
  return await there.catch(onCode(['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP'], false))
}
