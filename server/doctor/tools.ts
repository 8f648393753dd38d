import { programEnvironment, runProgram } from '../../system/programs.ts'
import { SYSTEM_PATH } from '../../system/system-path.ts'
import { openSandbox } from '../../system/tool-sandbox.ts'
import type { Config } from '../config.ts'
import { error, type Finding, ok, warning } from './finding.ts'

/** Searches the directories of `searchPath`, like a worker. */
export async function checkProgram(name: string, path: string, searchPath?: string): Promise<Finding> {
  try {
    const env = programEnvironment(searchPath)
    const { stdout } = await runProgram(path, ['-version'], { timeout: 10_000, env })
    return ok(`${name}: ${stdout.split('\n', 1)[0]}`)
  } catch {
    return error(`${name}: "${path}" cannot be run; install ffmpeg or set ${name.toUpperCase()}_PATH`)
  }
}

/** The sandbox of tools on this machine. */
export async function checkSandbox(config: Config, path: string = SYSTEM_PATH): Promise<Finding> {
  const { TOOL_SANDBOX: wish, FFMPEG_PATH, FFPROBE_PATH, DATA_DIR: dataDirectory } = config
  const tools = [FFMPEG_PATH, FFPROBE_PATH]
  try {
    const { kind } = await openSandbox({ path, dataDirectory, tools, wish })
    if (kind === 'none') {
      const why = wish === 'off' ? 'TOOL_SANDBOX=off' : 'neither bwrap nor unshare works here'
      return warning(
        `sandbox: none (${why}); ffmpeg has network access and can read what the worker can read`,
      )
    }
    const view =
      kind === 'bwrap' ? 'can read only its input below DATA_DIR' : 'can write only to its own folder'
    return ok(`sandbox: ${kind}; ffmpeg has no network for files on disk, and ${view}`)
  } catch (failure) {
    return error(`sandbox: ${failure instanceof Error ? failure.message : failure}`)
  }
}
