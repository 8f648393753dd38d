/** What an ffmpeg is built with. */
export type Abilities = {
  /** Codecs that it decodes, by ffmpeg's names. */
  decodes: Pick<ReadonlySet<string>, 'has'>
  filters: ReadonlySet<string>
}

/** Of an ffmpeg that does not say: trying shows what it decodes, and it is not asked for rare filters. */
export const UNKNOWN_ABILITIES: Abilities = { decodes: { has: () => true }, filters: new Set() }

/** ` DEV.LS h264   H.264 …`: the first letter says whether it is decoded. */
const DECODED_CODEC = /^ D[E.][VAS][I.][L.][S.] (\S+)/gm
/** ` .SC zscale   V->V   …` */
const FILTER = /^ [T.][S.][C.] ([a-z0-9]\S*)/gm

/** Reads what `ffmpeg -codecs` and `ffmpeg -filters` print. */
export function readAbilities({ codecs, filters }: { codecs: string; filters: string }): Abilities {
  const names = (text: string, pattern: RegExp) =>
    new Set([...text.matchAll(pattern)].flatMap(([, name]) => name ?? []))
  const decodes = names(codecs, DECODED_CODEC)
  return decodes.size === 0 ? UNKNOWN_ABILITIES : { decodes, filters: names(filters, FILTER) }
}
