import { describeMedia } from './description.ts'
import { ownerOf } from './ids.ts'
import type { MediaRow } from './media.ts'

/** The facts of a media item as API and webhooks report them, without links. */
export function mediaFacts(media: MediaRow) {
  const { attachedTo, title, description, captions, metadata } = describeMedia(media)
  return {
    id: media.id,
    uploadId: media.upload_id,
    ...ownerOf(media.owner_id),
    filename: media.filename,
    contentType: media.content_type,
    kind: media.kind,
    size: media.size,
    sha256: media.sha256,
    status: media.status,
    reason: media.reason,
    durationSeconds: media.duration_seconds,
    width: media.width,
    height: media.height,
    codedWidth: media.coded_width,
    codedHeight: media.coded_height,
    fps: media.fps,
    videoCodec: media.video_codec,
    audioCodec: media.audio_codec,
    hasAudio: media.has_audio,
    bitrate: media.bitrate,
    quality: media.quality,
    rotation: media.rotation,
    isHdr: media.is_hdr,
    videoStreams: media.video_streams,
    audioStreams: media.audio_streams,
    captions: captions ?? media.captions,
    renditions: media.renditions_skipped,
    scanStatus: media.scan_status,
    duplicateOf: media.duplicate_of,
    visibility: media.visibility,
    thumbhash: media.thumbhash,
    attachedTo,
    title,
    description,
    metadata,
    analysis: media.analysis,
    createdAt: media.created_at.toISOString(),
    readyAt: media.ready_at?.toISOString() ?? null,
    deletedAt: media.deleted_at?.toISOString() ?? null,
  }
}
