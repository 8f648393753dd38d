import { useEffect, useRef, useState } from 'react'
import type { Media } from './contract.ts'
import { playHls } from './hls-playback.ts'

interface Props {
  readonly media: Media
  /** The file itself. */
  readonly src: string
  readonly onUnplayable: () => void
}

/** Streams a video that has renditions; plays the file where it has none, or where that does not work. */
export function VideoPlayer({ media, src, onUnplayable }: Props) {
  const { hlsUrl, thumbnailUrl } = media
  const video = useRef<HTMLVideoElement>(null)
  /** The stream that did not work. */
  const [failed, setFailed] = useState<string | null>(null)
  const stream = hlsUrl === failed ? null : hlsUrl

  useEffect(() => {
    if (stream === null || video.current === null) return
    return playHls(video.current, stream, () => setFailed(stream))
  }, [stream])

  return (
    // biome-ignore lint/a11y/useMediaCaption: people's own files come without captions
    <video
      ref={video}
      src={stream === null ? src : undefined}
      poster={thumbnailUrl ?? undefined}
      controls
      playsInline
      preload="metadata"
      data-testid="player"
      data-streams={stream !== null}
      onError={() => (stream === null ? onUnplayable() : setFailed(stream))}
    />
  )
}
