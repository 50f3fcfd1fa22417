//! `calendar`: GET `/calendar/{token}`; POST and DELETE `/api/calendar`.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::always::Always;
use super::app::App;
use super::error::Answer;
use super::error_code::Code;
use super::extract::{Admitted, Asked, caller, read_request};
use super::hash::{hex, sha256};
use super::negotiate::{accepted_language, is_not_modified};
use super::openapi::error_responses::refusals;
use super::openapi::parameters::{AcceptLanguageParam, CalendarParam, IfNoneMatchParam};
use super::response::{REVALIDATE, insert_read_headers, json, no_store, not_modified};
use crate::codex::{CalendarAddress, CalendarFeed, Limited};
use crate::context;
use crate::now::Now;

/// The content type of calendars.
const CALENDAR: HeaderValue = HeaderValue::from_static("text/calendar; charset=utf-8");

/// In the document.
const EXAMPLE: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//CodexMiroir//CodexMiroir//EN\r\nBEGIN:VEVENT\r\n\
    DTSTAMP:20261222T180000Z\r\nUID:1f9d0c3b4a5968771f9d0c3b4a596877@codex-miroir\r\nDTSTART:20261222T180000Z\r\n\
    DTEND:20261222T190000Z\r\nSUMMARY:Zahnarzt\r\nTRANSP:OPAQUE\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

refusals!(CalendarRefusals: READ;
    TooManyRequests = error_responses::too_many(Limited::Addresses), NotFound, OwnerUnreadable);

/// A user's week as an iCalendar feed (RFC 5545), for a calendar program. The address is the credential; no other one
/// counts here.
///
/// 200, or 304 when `If-None-Match` matches. 404 for every address that isn't one, or not any more.
#[utoipa::path(
    get,
    path = "/calendar/{token}",
    tag = "calendar",
    params(CalendarParam, IfNoneMatchParam),
    responses(
        (status = 200, description = "The calendar.", body = String, content_type = "text/calendar", example = json!(EXAMPLE)),
        (status = 304, description = "Not modified."),
        CalendarRefusals,
    ),
    security(()),
)]
pub(super) async fn calendar(
    State(app): State<App>,
    now: Now,
    token: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    let segment = token.ok();
    let address = segment.and_then(|Path(it)| CalendarAddress::parse(&it));
    let calendars = app.codex.calendars();
    let feed = calendars.look_up(address.ok_or(Code::NotFound)?, now);
    let CalendarFeed {
        user,
        account,
        language,
    } = feed.await?.ok_or(Code::NotFound)?;
    let authenticator = &app.authenticator;
    if !authenticator.may_read(account.as_ref(), &user, now).await? {
        return Err(Code::NotFound.into());
    }
    context::set_user(&user);
    // Whoever has the address asks for no more than the week as it is: a stronger read counts against its user's limit.
    let read_request = read_request(user, &HeaderMap::new(), now);
    let reader = app.codex.reader();
    let read = reader.week(&read_request).await?;
    let calendar = reader.calendar(&read.entry, app.config.calendar_slot, language);
    let etag = format!("\"{}\"", &hex(&sha256(&calendar))[..32]);
    let mut response = match is_not_modified(&headers, &etag) {
        true => not_modified(),
        false => {
            let mut response = Response::new(Body::from(calendar));
            response.headers_mut().insert(CONTENT_TYPE, CALENDAR);
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, REVALIDATE);
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(ETAG, etag);
    }
    insert_read_headers(headers, &read, read.requests);
    Ok(response)
}

#[derive(Serialize, ToSchema)]
struct CalendarCreated {
    #[schema(inline)]
    ok: Always<true>,
    /// The address of the calendar, which is shown only here.
    url: String,
}

refusals!(AddressRefusals: CALLER;
    TooManyRequests = error_responses::too_many_writes(), CrossOrigin);

/// Gives the caller's calendar an address, and ends the one before within 5 s. Whoever knows it reads the week.
///
/// 200. After a failure of the storage the one before may have ended: repeat the request.
#[utoipa::path(
    post,
    path = "/api/calendar",
    tag = "calendar",
    params(AcceptLanguageParam),
    responses(
        (status = 200, description = "The new address.", body = CalendarCreated, example = json!({
            "ok": true, "url": "https://codex.example/calendar/anna.6b3f0e9d1c2a4b589f1d2c3b4a596877.ics",
        })),
        AddressRefusals,
    ),
)]
pub(super) async fn create_calendar(State(app): State<App>, now: Now, request: Request) -> Answer {
    let headers = request.headers();
    let caller = caller(&app, request.method(), headers, now).await?;
    let feed = CalendarFeed {
        user: caller.user.clone(),
        account: caller.account(),
        language: accepted_language(headers),
    };
    let read_request = read_request(caller.user, headers, now);
    let address = app.codex.calendars().create(&read_request, &feed).await?;
    let origin = app.config.public_url.origin();
    let url = format!("{origin}/calendar/{}", address.segment());
    let document = CalendarCreated { ok: Always, url };
    let mut response = no_store(json(StatusCode::OK, &document));
    if let Some(renewal) = caller.renewal {
        renewal.add_to(&mut response);
    }
    Ok(response)
}

#[derive(Serialize, ToSchema)]
struct CalendarDeleted {
    #[schema(inline)]
    ok: Always<true>,
}

/// Ends the address of the caller's calendar: it is 404 on this instance at once, on others within 5 s.
///
/// 200, also when there was none.
#[utoipa::path(
    delete,
    path = "/api/calendar",
    tag = "calendar",
    responses(
        (status = 200, description = "There is no address any more.", body = CalendarDeleted, example = json!({"ok": true})),
        AddressRefusals,
    ),
)]
pub(super) async fn delete_calendar(admitted: Admitted) -> Response {
    let delete = async |asked: Asked| {
        let calendars = asked.app.codex.calendars();
        calendars.delete(&asked.reader).await?;
        let document = CalendarDeleted { ok: Always };
        Ok(no_store(json(StatusCode::OK, &document)))
    };
    admitted.answer(delete).await
}
