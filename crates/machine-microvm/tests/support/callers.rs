//! Tests for each kind of caller, for test programs that have a `support`.

/// The same test for each kind of caller.
macro_rules! for_everybody {
    ($($test:ident),+ $(,)?) => {
        $crate::callers::for_callers!(root, Root, $($test),+);
        $crate::callers::for_callers!(many, Many, $($test),+);
        $crate::callers::for_callers!(one, One, $($test),+);
    };
}

/// The same test for one kind of caller.
macro_rules! for_callers {
    ($module:ident, $who:ident, $($test:ident),+ $(,)?) => {
        mod $module {
            $(#[test] fn $test() {
                $crate::support::run_as(
                    $crate::support::Who::$who,
                    concat!(stringify!($module), "::", stringify!($test)),
                    super::$test,
                );
            })+
        }
    };
}
pub(crate) use {for_callers, for_everybody};
