import { z } from 'zod'
import { UnreadableInput } from '../tools/tool-errors.ts'
import type { CodedStream } from './codecs.ts'

export type WrittenStream = CodedStream & { config: Buffer }

const Report = z.object({
  streams: z.array(
    z.object({
      codec_name: z.string(),
      extradata: z.string().default(''),
      extradata_size: z.number().int().nonnegative().default(0),
      side_data_list: z.array(z.object({ side_data_type: z.string().optional() })).default([]),
    }),
  ),
})

/** Bytes as ffprobe prints them: `00000010: 7011 0000 0300 0100 0003 0014 0f12 26a0  p.....`. */
const DUMPED = /^[0-9a-f]{8}: ((?:[0-9a-f]{2,4} )+)/gm

/** The streams of a file with their configurations, from ffprobe's report. Fails with `UnreadableInput`. */
export function readStreams(json: unknown): WrittenStream[] {
  const report = Report.safeParse(json)
  if (!report.success) throw new UnreadableInput('the streams that were written cannot be told')
  return report.data.streams.map(({ codec_name, extradata, extradata_size, side_data_list }) => {
    const digits = [...extradata.matchAll(DUMPED)].map(([, line = '']) => line.replaceAll(' ', '')).join('')
    const config = Buffer.from(digits, 'hex')
    if (config.length !== extradata_size) throw new UnreadableInput('a configuration cannot be read')
    const hasDolbyVision = side_data_list.some((one) => one.side_data_type === 'DOVI configuration record')
    return { codec: codec_name, hasDolbyVision, config }
  })
}
