import { type CodecScrub, cannotFollow } from './scrub.ts'

// Vorbis and Theora have three headers; the second has the encoder and comments (Vorbis I § 5, Theora § 6.3). A
// configuration has all three, preceded by their sizes.

/** `framing`: the number of bytes after the comments. */
const vorbisLike = (signature: string, framing: number): CodecScrub => ({
  config: (config) => {
    const header = secondHeader(config)
    const room = header.length - signature.length - 8 - framing
    if (room < 0 || header.toString('latin1', 0, signature.length) !== signature)
      throw cannotFollow('a configuration')
    // An encoder name of that many blanks, and no comments.
    let at = header.writeUInt32LE(room, signature.length)
    header.fill(' ', at, at + room)
    at = header.writeUInt32LE(0, at + room)
    header.fill(1, at)
  },
})

export const vorbis = (): CodecScrub => vorbisLike('\x03vorbis', 1)
export const theora = (): CodecScrub => vorbisLike('\x81theora', 0)

/** Headers are joined by Xiph lacing, as in Matroska, or with two bytes of length each. */
function secondHeader(config: Buffer): Buffer {
  if (config[0] === 2) {
    let at = 1
    const size = () => {
      let sum = 0
      while (config[at] === 0xff) {
        sum += 0xff
        at += 1
      }
      return sum + (config[at++] ?? 0)
    }
    const [first, second] = [size(), size()]
    return slice(config, at + first, second)
  }
  if (config.length < 4) throw cannotFollow('a configuration')
  const at = 2 + config.readUInt16BE(0)
  if (at + 2 > config.length) throw cannotFollow('a configuration')
  return slice(config, at + 2, config.readUInt16BE(at))
}

function slice(config: Buffer, at: number, bytes: number): Buffer {
  if (at + bytes > config.length) throw cannotFollow('a configuration')
  return config.subarray(at, at + bytes)
}
