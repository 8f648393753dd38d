/** What an ffmpeg is built with. */
export type Abilities = {
  /** Codecs that it decodes, by ffmpeg's names. */
  decodes: ReadonlySet<string>
  filters: ReadonlySet<string>
}

/** ` DEV.LS h264   H.264 …`: the first letter says whether it is decoded. */
const DECODED_CODEC = /^ D[E.][VAS][I.][L.][S.] (\S+)/gm
/** ` .SC zscale   V->V   …` */
const FILTER = /^ [T.][S.][C.] (\S+)/gm

/** Reads what `ffmpeg -codecs` and `ffmpeg -filters` print. */
export function readAbilities({ codecs, filters }: { codecs: string; filters: string }): Abilities {
  const names = (text: string, pattern: RegExp) =>
    new Set([...text.matchAll(pattern)].flatMap(([, name]) => name ?? []))
  return { decodes: names(codecs, DECODED_CODEC), filters: names(filters, FILTER) }
}
