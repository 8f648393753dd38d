import { SYSTEM_PATH } from '../../system/system-path.ts'
import { noSandbox, type ToolSandbox } from '../../system/tool-sandbox.ts'
import { type Abilities, readAbilities, UNKNOWN_ABILITIES } from './abilities.ts'
import { type Hashed, type HashedStreams, hashArguments } from './hash-arguments.ts'
import { HLS_THREADS, type HlsEncoding, hlsArguments } from './hls-arguments.ts'
import type { StreamTimes } from './packet-times.ts'
import { PACKET_ENTRIES, ProbeOutput, STREAM_ENTRIES } from './probe-output.ts'
import { type Muxer, type RemuxPlan, remuxArguments, remuxInputArguments } from './remux-arguments.ts'
import { type Shown, shownFilters } from './shown-picture.ts'
import { ToolFailed, UnreadableInput } from './tool-errors.ts'
import { RECONNECT_SECONDS, type ToolReport } from './tool-report.ts'
import { discardOutput, isRemote, type Limits, ToolRunner } from './tool-runner.ts'

export type FfmpegOptions = {
  ffmpegPath: string
  ffprobePath: string
  /** The sandbox of the tools; without it they have only their limits. */
  sandbox?: ToolSandbox
}

export type ToolRun = {
  /** A path or URL from the store, never client input. */
  input: string
  /** Size of the input. */
  size: number
  /** Demuxers that may open the input. */
  demuxers: readonly string[]
  signal: AbortSignal
}

/** The streams that are decoded, as in `0:1`. */
export type Decoded = {
  picture: { stream: string; codec: string | null } | undefined
  sound: string | undefined
}

const TRIAL = { args: ['-version'], prints: /^ff(?:mpeg|probe) version / }
/** More than any buffer of a sound file. */
const MAX_ALLOCATION = ['-max_alloc', String(512 * 1024 * 1024)]
const PROBE_TIMEOUT_MS = 120_000
/** Every packet is read, over the network too; an address is valid for little longer than this. */
const SLOWEST_BYTES_PER_MS = 4_000
const MAX_PROBE_TIMEOUT_MS = 14 * 60_000
/** A connection without a byte for this long is opened again. Microseconds, as ffmpeg expects. */
const SILENCE_US = 15_000_000
const FRAME_TIMEOUT_MS = 60_000
const TILES_TIMEOUT_MS = 60_000
const TILE_TIMEOUT_MS = 15_000
const SAMPLES_TIMEOUT_MS = 180_000
const MAX_JSON_BYTES = 4 * 1024 * 1024
const MAX_FRAME_BYTES = 128 * 1024 * 1024
const QUICK_DECODE_MS = 30_000
/** A full decode may take as long as the file lasts, and this much more. */
const DECODE_MS = 60_000
const MAX_DECODE_MS = 14 * 60_000
/** About ten minutes of video; or the first ten seconds of a codec with key frames only. */
const QUICK_KEY_FRAMES = 300
const QUICK_SOUND_SECONDS = 60
const MAX_TALK_BYTES = 4 * 1024 * 1024
/** A slow, busy machine takes this many times the length of the video, and this much more. */
const HLS_SLOWNESS = 20
const HLS_MS = 10 * 60_000
const MAX_HLS_MS = 6 * 3_600_000
const MAX_REMUX_MS = 6 * 3_600_000
/**
 * Where the file has an index of key frames, the others are not even read. Only of pictures: a sound that is left out
 * would be read because of it.
 */
const KEY_FRAMES_ONLY = ['-discard:v', 'nokey', '-skip_frame:v', 'nokey']
/** On a machine with many cores each of dozens of threads would reserve 64 MB of address space. */
const FEW_ARENAS = { MALLOC_ARENA_MAX: '4' }
const RAW_PIXELS = ['-pix_fmt', 'rgb24', '-f', 'rawvideo', 'pipe:1']

/**
 * ffprobe and ffmpeg as child processes: no shell, a time limit with a kill, bounded output, and only the demuxers and
 * protocols that the file may need, because a playlist may otherwise open other files.
 */
export class Ffmpeg {
  readonly #options: FfmpegOptions
  readonly #runner: ToolRunner
  #abilities: Promise<Abilities> | undefined

  constructor(options: FfmpegOptions) {
    this.#options = options
    this.#runner = new ToolRunner(options.sandbox ?? noSandbox(SYSTEM_PATH), TRIAL)
  }

  /**
   * ffprobe's report on the input, the times of its packets, and its complaints while it read every packet. `isQuick`
   * reads only the headers; `withConfig` gives all of the streams, with their configurations. Fails with `UnreadableInput`, and with
   * `InputNotDelivered` where it did not get all of the input.
   */
  async probe(
    run: ToolRun & { isQuick?: boolean; withConfig?: boolean },
  ): Promise<ToolReport & { json: unknown; times: ReadonlyMap<number, StreamTimes> }> {
    const packets = run.isQuick ? [] : [PACKET_ENTRIES]
    const streams = run.withConfig ? ['stream'] : STREAM_ENTRIES
    const configs = run.withConfig ? ['-show_data'] : []
    const entries = [...streams, ...packets].join(':')
    const args = ['-show_entries', entries, ...configs, '-of', 'json=compact=1']
    const output = new ProbeOutput(MAX_JSON_BYTES)
    const limits = {
      timeout: Math.min(readingMs(run), MAX_PROBE_TIMEOUT_MS),
      maxBuffer: MAX_JSON_BYTES,
      stdout: discardOutput((chunk) => output.add(chunk)),
    }
    const { complaints, delivery } = await this.#ffprobe(run, args, limits)
    const report = output.end()
    if (!report) throw new UnreadableInput('ffprobe reports more streams and tags than any player handles')
    return { complaints, delivery, ...report }
  }

  /**
   * One frame at `atSeconds` as PNG, as it is to be shown: rotated, and in this size; undefined when there is none at
   * that time. Fails like `probe`.
   */
  async frame(run: ToolRun & Shown & { atSeconds: number }): Promise<Uint8Array | undefined> {
    // Seeking before the input jumps to the key frame instead of decoding up to the moment.
    const seek = ['-ss', run.atSeconds.toFixed(3)]
    const scale = ['-map', run.picture, '-frames:v', '1', '-vf', shownFilters(run, await this.abilities())]
    const output = ['-f', 'image2pipe', '-c:v', 'png', 'pipe:1']
    const limits = { timeout: FRAME_TIMEOUT_MS, maxBuffer: MAX_FRAME_BYTES }
    const { stdout } = await this.#ffmpeg(run, seek, [...scale, ...output], limits)
    return stdout.byteLength === 0 ? undefined : stdout
  }

  /**
   * ffmpeg's complaints while it decodes picture and sound: all of them, or with `quick` the key frames of the picture,
   * or without one the first minute of sound. Fails like `probe`, and with `ToolFailed` when it takes too long.
   */
  async decode(run: ToolRun & Decoded & { depth: 'quick' | 'full'; seconds: number }): Promise<ToolReport> {
    const { depth, picture, sound, seconds } = run
    const isQuick = depth === 'quick'
    // ffmpeg's Theora decoder reports skipped frames as errors.
    const keyFrames = isQuick && picture && picture.codec !== 'theora' ? KEY_FRAMES_ONLY : []
    const streams = [picture?.stream, sound].filter((stream) => stream !== undefined)
    const all = streams.flatMap((stream) => ['-map', stream])
    const some = picture
      ? ['-map', picture.stream, '-frames:v', String(QUICK_KEY_FRAMES)]
      : [...all, '-t', String(QUICK_SOUND_SECONDS)]
    const output = [...(isQuick ? some : all), '-fps_mode', 'passthrough', '-f', 'null', '-']
    try {
      const wholeMs = Math.min(DECODE_MS + Math.ceil(seconds * 1000), MAX_DECODE_MS)
      const limits = { timeout: isQuick ? QUICK_DECODE_MS : wholeMs, maxBuffer: MAX_TALK_BYTES }
      const { complaints, delivery } = await this.#ffmpeg(run, keyFrames, output, limits)
      return { complaints, delivery }
    } catch (error) {
      // An audio file does not cause that many messages.
      if (error instanceof ToolFailed && error.kind === 'output-too-large')
        throw new UnreadableInput(error.message)
      throw error
    }
  }

  /**
   * Small pictures of a video, one for each `intervalMs` from its beginning and at most `count`: their pixels, three
   * bytes each, one picture after the other. `keyFramesOnly` neither reads nor decodes other frames. Fails like
   * `probe`.
   */
  async tiles(
    run: ToolRun & Shown & { intervalMs: number; count: number; keyFramesOnly: boolean },
  ): Promise<Uint8Array> {
    const { intervalMs, count, keyFramesOnly } = run
    const skip = keyFramesOnly ? KEY_FRAMES_ONLY : []
    // `eof_action=pass`, or a video shorter than half an interval would have no tile.
    const filters = `fps=1000/${intervalMs}:start_time=0:eof_action=pass,${shownFilters(run, await this.abilities())}`
    const output = ['-map', run.picture, '-frames:v', String(count), '-vf', filters, ...RAW_PIXELS]
    const limits = { timeout: TILES_TIMEOUT_MS, maxBuffer: MAX_FRAME_BYTES }
    return (await this.#ffmpeg(run, skip, output, limits)).stdout
  }

  /**
   * The key frame at or before `atSeconds` as a tile of `tiles`; undefined when there is none. Found by the index,
   * without reading what lies before it. Fails like `probe`.
   */
  async tileAt(run: ToolRun & Shown & { atSeconds: number }): Promise<Uint8Array | undefined> {
    const seek = ['-ss', run.atSeconds.toFixed(3), '-noaccurate_seek', ...KEY_FRAMES_ONLY]
    const output = [
      '-map',
      run.picture,
      '-frames:v',
      '1',
      '-vf',
      shownFilters(run, await this.abilities()),
      ...RAW_PIXELS,
    ]
    const limits = { timeout: TILE_TIMEOUT_MS, maxBuffer: MAX_FRAME_BYTES }
    const { stdout } = await this.#ffmpeg(run, seek, output, limits)
    return stdout.byteLength === 0 ? undefined : stdout
  }

  /**
   * Encodes the first video, and the first sound where there is one, for HLS: a file and its playlist for each
   * rendition. Fails like `probe`, and with `ToolFailed` when it takes too long.
   */
  async hls(run: ToolRun & HlsEncoding): Promise<void> {
    const timeout = Math.min(HLS_MS + Math.ceil(run.seconds * 1000 * HLS_SLOWNESS), MAX_HLS_MS)
    const limits = { timeout, maxBuffer: MAX_TALK_BYTES, env: FEW_ARENAS, folder: run.folder }
    await this.#ffmpeg(
      run,
      ['-threads', String(HLS_THREADS)],
      hlsArguments(run, await this.abilities()),
      limits,
    )
  }

  /**
   * Copies streams of the input, and nothing else, to the file `path` in the folder. Stops at about `maxBytes`. Fails
   * like `probe`, with `ToolFailed` when it takes too long, and with `StorageFull`.
   */
  async remux(
    run: ToolRun & { plan: RemuxPlan; muxer: Muxer; folder: string; path: string; maxBytes: number },
  ): Promise<void> {
    const { plan, muxer, folder } = run
    // The index is moved to the front at the end, which writes everything a second time.
    const limits = { timeout: Math.min(2 * readingMs(run), MAX_REMUX_MS), maxBuffer: MAX_TALK_BYTES, folder }
    await this.#ffmpeg(run, remuxInputArguments(muxer), remuxArguments(plan, run), limits)
  }

  /** Hashes of streams of the input, one per line. Fails like `probe`, and with `ToolFailed` when it takes too long. */
  async hashes(run: ToolRun & { hashed: Hashed; streams: HashedStreams }): Promise<string> {
    const { before, behind } = hashArguments(run.hashed, run.streams)
    const timeout = run.hashed === 'packets' ? Math.min(readingMs(run), MAX_REMUX_MS) : MAX_DECODE_MS
    const { stdout } = await this.#ffmpeg(run, before, behind, { timeout, maxBuffer: MAX_TALK_BYTES })
    return Buffer.from(stdout).toString('latin1')
  }

  /**
   * Calls `onPacket` with the position of each packet in the input, in bytes; `NaN` where that is not known. Fails like
   * `probe`.
   */
  async packets(run: ToolRun & { onPacket: (place: PacketPosition) => void }): Promise<void> {
    let rest = ''
    const lines = (text: string) => {
      const all = (rest + text).split('\n')
      rest = all.pop() ?? ''
      for (const line of all) {
        const [, stream, bytes, position, beside = ''] = PACKET_LINE.exec(line) ?? []
        if (stream !== undefined)
          run.onPacket({ stream: Number(stream), bytes: Number(bytes), position: Number(position), beside })
      }
    }
    const entries = 'packet=stream_index,size,pos:packet_side_data=side_data_type'
    await this.#ffprobe(run, ['-show_entries', entries, '-of', 'compact=p=0:nk=1'], {
      timeout: Math.min(readingMs(run), MAX_REMUX_MS),
      maxBuffer: MAX_JSON_BYTES,
      stdout: discardOutput((chunk) => lines(Buffer.from(chunk).toString('latin1'))),
    })
    lines('\n')
  }

  /** Decodes the sound to signed bytes of one channel, and passes them on as they arrive. Fails like `probe`. */
  async samples(
    run: ToolRun & { sound: string; rate: number; onSamples: (samples: Int8Array) => void },
  ): Promise<void> {
    const { sound, rate, onSamples } = run
    const output = ['-map', sound, '-ac', '1', '-ar', String(rate), '-c:a', 'pcm_s8', '-f', 's8', 'pipe:1']
    await this.#ffmpeg(run, [], output, {
      timeout: SAMPLES_TIMEOUT_MS,
      maxBuffer: MAX_JSON_BYTES,
      stdout: discardOutput(({ buffer, byteOffset, byteLength }) =>
        onSamples(new Int8Array(buffer, byteOffset, byteLength)),
      ),
    })
  }

  /** What this ffmpeg is built with, found out once. Fails with `RetryLater` when it cannot be run. */
  abilities(): Promise<Abilities> {
    this.#abilities ??= this.#findAbilities().catch((error: unknown) => {
      this.#abilities = undefined
      throw error
    })
    return this.#abilities
  }

  async #findAbilities(): Promise<Abilities> {
    const { ffmpegPath } = this.#options
    const list = async (what: string) => await this.#runner.ask(ffmpegPath, ['-hide_banner', what])
    try {
      return readAbilities({ codecs: await list('-codecs'), filters: await list('-filters') })
    } catch (error) {
      if (await this.#runner.works(ffmpegPath)) return UNKNOWN_ABILITIES
      throw error
    }
  }

  /** ffmpeg with options before and after the input. */
  #ffmpeg(run: ToolRun, before: readonly string[], after: readonly string[], limits: Limits) {
    const args = [...MAX_ALLOCATION, '-nostdin', ...inputArgs(run), ...before, '-i', run.input, ...after]
    return this.#runner.run(this.#options.ffmpegPath, args, run, limits)
  }

  #ffprobe(run: ToolRun, options: readonly string[], limits: Limits) {
    const args = [...MAX_ALLOCATION, ...inputArgs(run), ...options, '-i', run.input]
    return this.#runner.run(this.#options.ffprobePath, args, run, limits)
  }
}

/** Time limit for reading every byte of an input. */
const readingMs = ({ size }: ToolRun): number => PROBE_TIMEOUT_MS + Math.ceil(size / SLOWEST_BYTES_PER_MS)

/** The position of a packet in a file: its first byte, or the header of its container before that. */
export type PacketPosition = {
  stream: number
  position: number
  bytes: number
  /** ffmpeg's names for the side data of the packet. */
  beside: string
}

const PACKET_LINE = /^(\d+)\|(\d+)\|(\d+|N\/A)(?:\|(.*))?$/

/** Options of the input, which precede it. Messages have levels where network errors are possible. */
function inputArgs({ input, demuxers }: ToolRun): string[] {
  const formats = ['-format_whitelist', demuxers.join(',')]
  if (!isRemote(input)) return ['-v', 'error', '-protocol_whitelist', 'file', ...formats]
  return [
    ...['-v', 'level+warning', '-protocol_whitelist', 'http,https,tcp,tls', ...formats],
    ...['-rw_timeout', String(SILENCE_US)],
    ...['-reconnect', '1', '-reconnect_streamed', '1', '-reconnect_delay_max', String(RECONNECT_SECONDS)],
    ...['-reconnect_on_network_error', '1', '-reconnect_on_http_error', '5xx'],
  ]
}
