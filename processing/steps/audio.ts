import { storeRendition } from '../step/rendition.ts'
import type { Step } from '../step/step.ts'
import { toleratedReason } from '../step/tolerated.ts'
import { toolRun } from '../step/tool-run.ts'
import { PeakMeter } from '../tools/peaks.ts'
import { streamsOf } from '../tools/streams.ts'

/** Samples per second: frequencies above half of it are not shown. */
const RATE = 8_000
const PAIRS = 800
/** Sound is often a little longer than the file declares. */
const MARGIN = 1.02

/** The peaks of the sound, in the JSON of the audiowaveform program, which waveform players read. */
export const audio: Step = {
  name: 'audio',
  after: ['probe'],
  resource: 'decode',
  kinds: ['audio', 'video'],
  needs: ['has_audio'],
  produces: ['waveform'],
  async run(context) {
    const { media, ffmpeg } = context
    const meter = new PeakMeter({ most: PAIRS, expected: (media.duration_seconds ?? 0) * RATE * MARGIN })
    const onSamples = (samples: Int8Array) => meter.add(samples)
    try {
      const { sound } = streamsOf(media)
      await ffmpeg.samples({ ...(await toolRun(context)), sound, rate: RATE, onSamples })
    } catch (error) {
      return { detail: { skipped: toleratedReason(error, context) } }
    }
    const peaks = meter.read()
    if (!peaks) return { detail: { skipped: 'the sound has no samples' } }
    const { samplesPerPeak, pairs } = peaks
    const waveform = {
      version: 2,
      channels: 1,
      sample_rate: RATE,
      samples_per_pixel: samplesPerPeak,
      bits: 8,
      length: pairs.length / 2,
      data: pairs,
    }
    await storeRendition(context, {
      kind: 'waveform',
      data: Buffer.from(JSON.stringify(waveform)),
      contentType: 'application/json',
    })
    return { detail: { peaks: waveform.length } }
  },
}
